"""The undamaged files that inputs are made from: small, and written by the library itself."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import save_weights
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.parameters import Array, expand
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer

Files = dict[str, bytes]  # an input: names in a folder to contents
Corpus = Callable[[Path], list[Files]]  # makes inputs; the folder is empty and may be used

_PROSE = "a grey heron stands in the shallow water and waits while trains cross the bridge above him every hour"
CONFIGS: dict[str, type[BaseConfig]] = {"v1": DebertaConfig, "v2": DebertaV2Config}
_SIZES: dict[str, Any] = {
    "vocab_size": 330,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 32,
    "relative_attention": True,
    "pos_att_type": ("c2p", "p2c"),
}
_OWN_SIZES: dict[str, dict[str, Any]] = {
    "v1": {},
    "v2": {"position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
}


def config(version: str, **changes: Any) -> BaseConfig:
    """The configuration of a model of one layer, of "v1" or "v2"."""
    return CONFIGS[version](**_SIZES | _OWN_SIZES[version] | changes)


def weights(model: BaseConfig, task: str | None) -> dict[str, Array]:
    """Weights for a configuration."""
    numbers = np.random.default_rng(0)
    return {name: numbers.normal(0, 0.05, row.shape).astype("f4") for name, row in expand(model, task).items()}


def tokenizer(version: str) -> Any:
    """A tokenizer of about 320 tokens."""
    numbers = random.Random(0)
    texts = [
        f"{' '.join(numbers.choices(_PROSE.split(), k=12))}. {chr(97 + number % 26) * 3} {number} Ünï 東京"
        for number in range(300)
    ]
    if version == "v1":
        return DebertaTokenizer.train(texts, 320)
    return DebertaV2Tokenizer.train(texts, 320, hard_vocab_limit=False)


def read_files(folder: Path) -> Files:
    """The files of a folder by name."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def write_files(folder: Path, files: Files) -> None:
    """Makes a folder anew of these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def checkpoints(format: str, max_shard_size: str | None = None) -> Corpus:
    """Checkpoint folders in one format: both versions, with and without a head."""

    def make(folder: Path) -> list[Files]:
        made = []
        for version, task in (("v1", "sequence_classification"), ("v2", "sequence_classification"), ("v2", None)):
            place = folder / f"{version}-{task}"
            model = config(version, hidden_size=16 if format == "h5" else 8)
            model.save_pretrained(place)
            save_weights(place, model, task, weights(model, task), format, max_shard_size)
            made.append(read_files(place))
        return made

    return make


def configurations(folder: Path) -> list[Files]:
    """config.json with every field, and fields of other programs, beside weights."""
    kinds: Sequence[tuple[str, dict[str, Any], dict[str, Any]]] = (
        ("v1", {}, {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}),
        ("v2", {"conv_kernel_size": 3}, {"num_labels": 3, "torch_dtype": "float32"}),
        ("v2", {"position_biased_input": False}, {"architectures": ["DebertaV2Model"], "cls_dropout": 0.1}),
    )
    made = []
    for number, (version, changes, more) in enumerate(kinds):
        model, place = config(version, **changes), folder / str(number)
        save_weights(place, model, None, weights(model, None))
        content = {name: value for name, value in model.to_dict().items() if name not in more} | more
        (place / "config.json").write_text(json.dumps(content), encoding="utf-8")
        made.append(read_files(place))
    return made


def tokenizers(*versions: str, fast: bool) -> Corpus:
    """Folders of tokenizers; the fast ones have tokenizer.json, beside the vocabulary's own files and alone."""

    def make(folder: Path) -> list[Files]:
        made = []
        for version in versions:
            own, place = tokenizer(version), folder / version
            own.add_tokens(["<new>", "two words"])
            own.add_special_tokens({"additional_special_tokens": ["<s1>"]})
            own.save_pretrained(place)
            if fast:
                AutoTokenizer.from_pretrained(place).save_pretrained(place)
            made.append(read_files(place))
            if fast:
                alone = {"spm.model", "vocab.json", "merges.txt"}
                made.append({name: content for name, content in made[-1].items() if name not in alone})
        return [files for files in made if not fast or "tokenizer.json" in files]

    return make
