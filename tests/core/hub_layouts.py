"""Builders of tiny folders as published DeBERTa repositories are: their files, keys of config.json, and names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import save_weights
from deberta_core.config import BaseConfig

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
# The keys of the published config.json files, and nothing that transformers adds when it saves.
V1_KEYS = SIZES | {
    "model_type": "deberta",
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": -1,
    "pos_att_type": "c2p|p2c",
    "layer_norm_eps": 1e-7,
    "padding_idx": 0,
    "pad_token_id": 0,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "type_vocab_size": 0,
    "vocab_size": 500,
}
V3_KEYS = V1_KEYS | {
    "model_type": "deberta-v2",
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
}
V2_KEYS = V3_KEYS | {"conv_kernel_size": 3, "conv_act": "gelu", "attention_head_size": 4}
# As transformers writes them.
SAVED_KEYS = V3_KEYS | {
    "pos_att_type": ["p2c", "c2p"],
    "pooler_dropout": 0,
    "pooler_hidden_act": "gelu",
    "pooler_hidden_size": 8,
    "legacy": True,
    "dtype": "float32",
    "transformers_version": "4.57.1",
}
NLI = {
    "architectures": ["DebertaV2ForSequenceClassification"],
    "id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"},
    "label2id": {"contradiction": 2, "entailment": 0, "neutral": 1},
}


class Kit:
    """What folders are built of."""

    def __init__(self, random_weights: Callable[..., Any], tokenizers: dict[type[BaseConfig], Any]) -> None:
        self.random_weights = random_weights
        self.tokenizers = tokenizers

    def write(self, folder: Path, keys: dict[str, Any], task: str | None, format: str = "safetensors", **how: Any):
        """A folder with config.json, weights and, if wanted, a tokenizer; gives the weights."""
        config = config_of(keys, task, how.pop("new_head", False))
        tokenizer = how.pop("tokenizer", True)
        weights = self.random_weights(config, task)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(folder, config, task, weights, format, **how)
        put(folder, "config.json", keys)
        if tokenizer:
            self.tokenizers[type(config)].save_pretrained(folder)
        return weights


@dataclass(frozen=True)
class Layout:
    """A layout that loads.

    Attributes:
        like: repositories and programs that have it.
        build: writes the folder, and gives the weights that must be found.
        task: what it is loaded as.
        path: what is given, within the folder.
        prefix: what stands before the names in the file.
        dropped: the beginnings of the names that are left.
        has_tokenizer: whether its tokenizer is ours.
    """

    like: str
    build: Callable[[Path, Kit], dict[str, Any]]
    task: str | None = None
    path: str = "."
    prefix: str = ""
    dropped: tuple[str, ...] = ()
    has_tokenizer: bool = True


def config_of(keys: dict[str, Any], task: str | None, new_head: bool = False) -> BaseConfig:
    """The configuration, told by a published file's keys."""
    cls = DebertaConfig if keys is V1_KEYS or keys.get("model_type") == "deberta" else DebertaV2Config
    return cls.from_dict(keys).replace(**{"legacy": False} if new_head else {})


def put(folder: Path, name: str, content: Any = "") -> None:
    """Writes a file: JSON, bytes or a text."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def add_to_bin(folder: Path, arrays: dict[str, Any], weights: dict[str, Any], name: str = "pytorch_model.bin") -> None:
    """A file of torch.save with the weights and more."""
    torch_save(folder / name, tensors(weights | arrays))


def tensors(weights: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}


def torch_save(file: Path, content: Any, **how: Any) -> None:
    import torch

    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, file, **how)


FC = {"fc.weight": np.ones((6, 8), "f4")}


def v1_base(folder: Path, kit: Kit) -> dict[str, Any]:
    weights = kit.write(folder, {key: v for key, v in V1_KEYS.items() if key != "position_buckets"}, "masked_lm", "bin")
    old = {name.replace("deberta.", "bert."): array for name, array in weights.items()}
    positions = {"bert.embeddings.position_embeddings.weight": np.ones((512, 8), "f4")}
    torch_save(folder / "pytorch_model.bin", tensors(old | positions), _use_new_zipfile_serialization=False)
    put(folder, "bpe_encoder.bin", (folder / "vocab.json").read_bytes())
    return weights


def pretraining(keys: dict[str, Any]) -> Callable[[Path, Kit], dict[str, Any]]:
    def build(folder: Path, kit: Kit) -> dict[str, Any]:
        weights = kit.write(folder, keys, "masked_lm", "bin", new_head=True)
        mask_head = {"mask_predictions.dense.weight": np.ones((8, 8), "f4")}
        mask_head |= {"mask_predictions.classifier.weight": np.ones((1, 8), "f4")}
        positions = {"deberta.embeddings.position_embeddings.weight": np.ones((512, 8), "f4")}
        add_to_bin(folder, mask_head | positions, weights)
        put(folder, "generator_config.json", keys | {"num_hidden_layers": 1})
        one = DebertaV2Config.from_dict(keys).replace(num_hidden_layers=1, legacy=False)
        add_to_bin(folder, positions, kit.random_weights(one, "masked_lm"), "pytorch_model.generator.bin")
        (folder / "special_tokens_map.json").unlink(missing_ok=True)
        put(folder, "tokenizer_config.json", {"do_lower_case": False, "vocab_type": "spm"})
        return weights | (positions if DebertaV2Config.from_dict(keys).can_enhance_decoder else {})

    return build


def saved(keys: dict[str, Any], task: str | None, format: str = "safetensors", **how: Any):
    """As `save_pretrained` of transformers leaves it, with other files beside it."""
    files = how.pop("files", {})

    def build(folder: Path, kit: Kit) -> dict[str, Any]:
        weights = kit.write(folder, keys, task, format, **how)
        for name, content in files.items():
            put(folder, name, content)
        return weights

    return build


MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
POOLING = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
SENTENCE_FILES = {
    "modules.json": MODULES,
    "1_Pooling/config.json": POOLING,
    "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
    "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "5.1.0"}},
}


def old_sentence_transformers(folder: Path, kit: Kit) -> dict[str, Any]:
    for name, content in SENTENCE_FILES.items():
        put(folder, name, content)
    put(folder, "modules.json", [MODULES[0] | {"path": "0_Transformer"}, MODULES[1]])
    return kit.write(folder / "0_Transformer", SAVED_KEYS, None, "bin")


def lightning(folder: Path, kit: Kit) -> dict[str, Any]:
    """A LightningModule with `self.model`, a loss with a buffer, an optimizer and hyperparameters."""
    weights = kit.write(folder, SAVED_KEYS | NLI, "sequence_classification", tokenizer=False)
    (folder / "model.safetensors").unlink()
    inside = tensors({f"model.{name}": array for name, array in weights.items()})
    beside = tensors({"loss.weight": np.ones(3, "f4"), "classifier.weight": np.ones((3, 8), "f4")})
    torch_save(
        folder / "epoch=3-step=100.ckpt",
        {
            "epoch": 3,
            "global_step": 100,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": inside | beside,
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
            "callbacks": {"ModelCheckpoint": {"best_model_score": tensors({"a": np.ones(1, "f4")})["a"]}},
            "optimizer_states": [{"state": {0: {"exp_avg": tensors({"a": np.ones(4, "f4")})["a"]}}}],
            "lr_schedulers": [],
            "hparams_name": "kwargs",
            "hyper_parameters": {"lr": 2e-5},
        },
        _use_new_zipfile_serialization=False,
    )
    return weights


def notebook(prefix: str, name: str, outer: str | None = None, **beside: Any):
    """What a notebook saves of a module that holds the backbone."""

    def build(folder: Path, kit: Kit) -> dict[str, Any]:
        weights = kit.write(folder, SAVED_KEYS, None, tokenizer=False)
        (folder / "model.safetensors").unlink()
        content = tensors({prefix + key: array for key, array in weights.items()} | beside)
        torch_save(folder / name, {outer: content, "epoch": 1, "best": 0.9} if outer else content)
        return weights

    return build


def microsoft(folder: Path, kit: Kit) -> dict[str, Any]:
    """What Microsoft's own code leaves: model_config.json without model_type, and the step in the file's name."""
    keys = {key: value for key, value in V3_KEYS.items() if key not in ("model_type", "pad_token_id")}
    weights = kit.write(folder, keys | {"model_type": "deberta-v2"}, "sequence_classification", "bin")
    (folder / "config.json").unlink()
    put(folder, "model_config.json", keys | {"pooling": {"dropout": 0.1, "hidden_act": "gelu"}})
    (folder / "pytorch_model.bin").rename(folder / "pytorch.model-003000.bin")
    return weights


def setfit(folder: Path, kit: Kit) -> dict[str, Any]:
    put(folder, "model_head.pkl", b"\x80\x04a pickle of scikit-learn")
    put(folder, "config_setfit.json", {"normalize_embeddings": False, "labels": None})
    return saved(SAVED_KEYS, None, files=SENTENCE_FILES)(folder, kit)


def chinese(folder: Path, kit: Kit) -> dict[str, Any]:
    put(folder, "vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    put(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    return saved(V2_KEYS | {"architectures": ["DebertaV2ForMaskedLM"]}, "masked_lm", "bin", tokenizer=False)(
        folder, kit
    )


def gliner_encoder(folder: Path, kit: Kit) -> dict[str, Any]:
    prefix = "token_rep_layer.bert_layer.model."
    weights = notebook(prefix, "pytorch_model.bin", **{"span_rep_layer.project.weight": np.ones((8, 8), "f4")})(
        folder, kit
    )
    put(folder, "gliner_config.json", {"model_name": "microsoft/deberta-v3-base", "span_mode": "markerV0"})
    return weights


def quantised(folder: Path, kit: Kit) -> None:
    """bitsandbytes: integers, and what scales them."""
    weights = kit.write(folder, SAVED_KEYS | {"quantization_config": {"quant_method": "bitsandbytes"}}, None)
    name = "encoder.layer.0.output.dense.weight"
    weights |= {name: np.ones((96 // 2, 1), np.uint8), f"{name}.absmax": np.ones(2, "f4")}
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
