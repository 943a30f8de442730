"""The names of the files of checkpoint folders: which are carried to another, and which may be replaced."""

from __future__ import annotations

import os
import re
from pathlib import Path

from deberta_core.errors import DebertaError, name_list
from deberta_core.staging import STAGING

TOKENIZER_FILES = (
    "spm.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "bpe_encoder.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
CALIBRATION = "calibration.json"  # of an evaluation: {"temperature": ...}
# Of sentence-transformers and the hub: what a model is for and how it is used, whatever its format.
COMPANIONS = (
    CALIBRATION,
    "generation_config.json",
    "generator_config.json",
    "model_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "README.md",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
    "NOTICE.txt",
    ".gitattributes",
)
METRICS, PROGRESS, STATE = "metrics.jsonl", "training.json", "training"  # of a run of fine-tuning
_RUN_FILES = (METRICS, PROGRESS, f"{STATE}/state.pt", f"{STATE}/state.npz")
_WEIGHTS = re.compile(
    r"(pytorch_model|tf_model|model)(-\d{5}-of-\d{5})?\.(safetensors|bin|h5)(\.index\.json)?"
    r"|(pytorch_model|model)\.generator\.(safetensors|bin)|model\.weights\.h5|model\.keras|config\.json"
)


def is_model_file(name: str) -> bool:
    """Whether a file holds a model's weights, configuration or calibration, or is a tokenizer's."""
    return name in (*TOKENIZER_FILES, CALIBRATION) or _WEIGHTS.fullmatch(name) is not None


def refuse_foreign(folder: Path, error: type[DebertaError]) -> None:
    """Refuses to replace a folder, unless it is empty, or all it holds is of a checkpoint or of a run.

    Raises:
        error: with the names of what is not.
    """
    if folder.is_dir():
        found = [str(path.relative_to(folder)) for path in _leaves(folder)]
        own = [name for name in found if is_model_file(name) or name in _RUN_FILES]
        foreign = set(found) - {*own, *COMPANIONS}
        if (own and not foreign) or not found:
            return
        foreign = foreign or set(found)
    elif folder.exists():
        foreign = {folder.name}
    else:
        return
    raise error(
        f"{folder} is no checkpoint folder, so --force does not replace it: it holds {name_list(foreign)}. Move "
        f"that, or choose another name."
    )


def _leaves(folder: Path) -> list[Path]:
    """All files, links and empty folders below a folder; but for what a killed save of ours left in it."""
    found = []
    for place, folders, files in os.walk(folder):
        if Path(place) == folder and STAGING in folders:
            folders.remove(STAGING)
        found += [Path(place, name) for name in files]
        found += [path for name in folders if (path := Path(place, name)).is_symlink() or not any(path.iterdir())]
    return found
