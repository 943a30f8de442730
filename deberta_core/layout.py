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
# Of sentence-transformers: its modules, the length of a text, how vectors are compared, how tokens' become one.
MODULES_FILE, LENGTH_FILE = "modules.json", "sentence_bert_config.json"
SENTENCES_FILE, POOLING_FILE = "config_sentence_transformers.json", "1_Pooling/config.json"
_SENTENCE_FILES = (MODULES_FILE, LENGTH_FILE, SENTENCES_FILE, POOLING_FILE)
_NORMALIZE = "2_Normalize"  # a folder with nothing in it
# Their names in the folder, which a model of another task leaves none of.
SENTENCE_PARTS = (MODULES_FILE, LENGTH_FILE, SENTENCES_FILE, POOLING_FILE.split("/")[0], _NORMALIZE)
# Of sentence-transformers and the hub: what a model is for and how it is used, whatever its format.
COMPANIONS = (
    CALIBRATION,
    "generation_config.json",
    "generator_config.json",
    "model_config.json",
    *_SENTENCE_FILES,
    "README.md",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
    "NOTICE.txt",
    ".gitattributes",
)
METRICS, PROGRESS, STATE = "metrics.jsonl", "training.json", "training"  # of a run of fine-tuning
PREDICTIONS, PLOT, TENSORBOARD = "predictions.jsonl", "training.png", "tensorboard"
RATES, RATE_PLOT = "learning_rate_search.jsonl", "learning_rate_search.png"
ADAPTER = "adapter"  # the folder of PEFT's files beside the model that they are merged into
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_RUN_FILES = (
    *(METRICS, PROGRESS, f"{STATE}/state.pt", f"{STATE}/state.npz", PREDICTIONS, PLOT, RATES, RATE_PLOT),
    *(f"{ADAPTER}/{name}" for name in ADAPTER_FILES),
)
_EVENTS = re.compile(rf"{TENSORBOARD}/events\.out\.tfevents\.[\d.]+")
GENERATOR = "generator"  # of pretraining: the folder of the generator, beside the discriminator's files
_PART = re.compile(rf"(fold|seed)-\d+|{GENERATOR}")  # the folder of one model of several
_WEIGHTS = re.compile(
    r"(pytorch_model|tf_model|model)(-\d{5}-of-\d{5})?\.(safetensors|bin|h5)(\.index\.json)?"
    r"|(pytorch_model|model)\.generator\.(safetensors|bin)|model\.weights\.h5|model\.keras|(generator_)?config\.json"
)


def is_model_file(name: str) -> bool:
    """Whether a file holds a model's weights, configuration or calibration, or is a tokenizer's."""
    return name in (*TOKENIZER_FILES, CALIBRATION) or _WEIGHTS.fullmatch(name) is not None


def is_run_file(name: str) -> bool:
    """Whether something in a folder is what an earlier run left that a new one may not have: plots, parts, and such."""
    return name in (PREDICTIONS, PLOT, TENSORBOARD, RATES, RATE_PLOT) or _PART.fullmatch(name) is not None


def refuse_foreign(folder: Path, error: type[DebertaError]) -> None:
    """Refuses to replace a folder, unless it is empty, or all it holds is of a checkpoint or of a run.

    Raises:
        error: with the names of what is not.
    """
    if folder.is_dir():
        found = {str(path.relative_to(folder)): _within_part(path.relative_to(folder)) for path in _leaves(folder)}
        own = [name for name, inner in found.items() if _is_own(inner)]
        foreign = {name for name, inner in found.items() if name not in own and inner not in (*COMPANIONS, _NORMALIZE)}
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


def _is_own(name: str) -> bool:
    return is_model_file(name) or name in _RUN_FILES or _EVENTS.fullmatch(name) is not None


def _within_part(path: Path) -> str:
    """A file's path, from the folder of its run on."""
    parts = path.parts
    return "/".join(parts[1:] if len(parts) > 1 and _PART.fullmatch(parts[0]) else parts)


def _leaves(folder: Path) -> list[Path]:
    """All files, links and empty folders below a folder; but for what a killed save of ours left in it."""
    found = []
    for place, folders, files in os.walk(folder):
        if Path(place) == folder and STAGING in folders:
            folders.remove(STAGING)
        found += [Path(place, name) for name in files]
        found += [path for name in folders if (path := Path(place, name)).is_symlink() or not any(path.iterdir())]
    return found
