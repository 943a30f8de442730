"""The files of sentence-transformers beside a checkpoint: how the vectors of tokens become one; read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config_place import CONFIG_FILE
from deberta_core.errors import InputError, name_list
from deberta_core.files import read_content, read_json, write_text
from deberta_core.hub import Wanted, local_folder
from deberta_core.json_shape import TEXT, list_of, parse_json, record
from deberta_core.layout import LENGTH_FILE, MODULES_FILE, POOLING_FILE, SENTENCES_FILE
from deberta_core.transaction import replace_files

# By the names of the option `pooling`: hidden states [L, C] of real tokens to [C].
POOLINGS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "first": lambda hidden: hidden[0],
    "mean": lambda hidden: hidden.mean(axis=0, dtype=np.float64),
    "weighted": lambda hidden: np.average(hidden.astype(np.float64), axis=0, weights=np.arange(1, len(hidden) + 1)),
    "max": lambda hidden: hidden.max(axis=0),
}
# The switches of a pooling module's config.json that are ours.
_SWITCHES = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_weightedmean_tokens": "weighted",
}
_MODES = {"cls": "first", "mean": "mean", "max": "max", "weightedmean": "weighted"}
# The modules of a folder, as they are named where modules.json is missing.
_USUAL = {"1_Pooling": "Pooling", "2_Normalize": "Normalize"}
_KNOWN = ("Transformer", "Pooling", "Normalize")
_PACKAGE = "sentence_transformers.models"  # as all its versions know it


def module_options(folder: str | Path, **hub_options: Any) -> dict[str, Any]:
    """Options of sentence embeddings as the files of a folder say them; none where there are no such files.

    Args:
        folder: a checkpoint folder, or a hub id.
        **hub_options: see `deberta_core.hub.local_folder`.

    Raises:
        InputError: a file is broken, or asks for what is not computed here.
    """
    names = (CONFIG_FILE, MODULES_FILE, LENGTH_FILE, POOLING_FILE)
    place = local_folder(folder, [Wanted((name,), required=False) for name in names], InputError, **hub_options)
    modules = _modules(place)
    unknown = [kind for kind in modules.values() if kind not in _KNOWN]
    if unknown:
        raise InputError(f"{place / MODULES_FILE} has modules that are not computed here: {name_list(unknown)}.")
    options: dict[str, Any] = {}
    for path, kind in modules.items():
        if kind == "Pooling" and (file := place / path / "config.json").is_file():
            options["pooling"] = _pooling(file)
        elif kind == "Normalize":
            options["normalize"] = True
    if (file := place / LENGTH_FILE).is_file():
        length = read_json(file, InputError, "Copy it again.").get("max_seq_length")
        options |= {} if length is None else {"max_length": length}
    return options


def write_modules(folder: str | Path, width: int, pooling: str, *, normalize: bool, max_length: int) -> None:
    """Writes what `module_options` reads, beside a checkpoint, as `SentenceTransformer(folder)` loads it.

    Args:
        folder: of the checkpoint; files of these names are replaced.
        width: of a vector.
        pooling: a name of `POOLINGS`.
        normalize: whether vectors get the length 1.
        max_length: of a text, in tokens.

    Raises:
        InputError: the folder cannot be written.
    """
    kinds = ("Transformer", "Pooling", *(("Normalize",) if normalize else ()))
    modules = [
        {"idx": number, "name": str(number), "path": f"{number}_{kind}" if number else "", "type": f"{_PACKAGE}.{kind}"}
        for number, kind in enumerate(kinds)
    ]
    switches = {name: ours == pooling for name, ours in _SWITCHES.items()}
    contents: dict[str, Any] = {
        MODULES_FILE: modules,
        LENGTH_FILE: {"max_seq_length": max_length, "do_lower_case": False},
        SENTENCES_FILE: {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        POOLING_FILE: {"word_embedding_dimension": width, **switches},
    }
    with replace_files(folder, InputError) as staging:
        for name, content in contents.items():
            (staging / name).parent.mkdir(exist_ok=True)
            write_text(staging / name, json.dumps(content, indent=2) + "\n")


def _modules(place: Path) -> dict[str, str]:
    """The kind of each module by its folder."""
    if not (file := place / MODULES_FILE).is_file():
        return {path: kind for path, kind in _USUAL.items() if (place / path).is_dir()}
    try:
        listed = parse_json(read_content(file, InputError, "Copy it again.", "as JSON"))
    except ValueError as problem:
        raise InputError(f"{file} cannot be read as JSON: {problem}. Copy it again.") from problem
    if found := list_of(record({"type": TEXT, "path": TEXT}))(listed):
        raise InputError(f"{found.describe(str(file))}. Copy it again.")
    return {one["path"]: one["type"].rsplit(".", maxsplit=1)[-1] for one in listed}


def _pooling(file: Path) -> str:
    content = read_json(file, InputError, "Copy it again.")
    chosen = [name for name, value in content.items() if name.startswith("pooling_mode_") and value is True]
    if (mode := content.get("pooling_mode")) is not None:
        chosen.append(f"pooling_mode={mode}")
    known = {**_SWITCHES, **{f"pooling_mode={mode}": ours for mode, ours in _MODES.items()}}
    if len(chosen) != 1 or chosen[0] not in known:
        raise InputError(f"{file} asks for {name_list(chosen) or 'no pooling'}; known are: {name_list(known)}.")
    return known[chosen[0]]
