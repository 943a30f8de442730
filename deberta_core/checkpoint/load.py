"""Fitting the content of a weight file to a model: names, shapes, and what to do about the rest."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deberta_core.checkpoint.formats import FORMATS, GENERATOR_FILES, open_weights
from deberta_core.checkpoint.lazy import LazyWeights, compared
from deberta_core.checkpoint.model_config import MASKED_LM_HEADS
from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, WeightError, name_list, shown
from deberta_core.names.loading import LOAD_REPORT
from deberta_core.names.rows import other_attribute
from deberta_core.parameters import DELTA_NAMES, UNUSED_NAMES, Array, expand
from deberta_core.tasks import BACKBONE_PREFIX, FRESH_MODULES, head_modules, task_spec

Shape = tuple[int, ...]

_FLOATS = frozenset(dtype for row in FORMATS.values() for dtype in row.dtypes)
_LAYER_NUMBER = re.compile(r"encoder\.layer\.(\d+)\.")
_NO_TABLE = (
    "The file holds word_embeddings._weight, the difference to the table of the generator it was trained with, and no "
    "table. Load both with the class ...ForPreTraining, and save the discriminator."
)
# The end of a name that no model of this `model_type` has, and what it means.
_DIAGNOSES = {
    "deberta": ("query_proj.weight", "this is a v2 or v3 checkpoint, use the DebertaV2 classes"),
    "deberta-v2": ("in_proj.weight", "this is a v1 checkpoint, use the Deberta classes"),
}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What did not match when a checkpoint was loaded; every tuple is sorted.

    As a mapping it has transformers' keys, such as `report["missing_keys"]`, whose values are lists.

    Attributes:
        missing: the model's parameters that are not in the file.
        unexpected: names in the file that belong to no known model.
        mismatched: the model's parameters whose shape differs: name, shape in the file, shape in the model.
        dropped: names in the file that belong to another head, or that no model uses.
        tied: names in the file of second copies of the model's parameters; they are compared on reading.
        prefix: what stands before the names of the model in the file, such as `state_dict.model.`, where it is a part
            of something else; what is beside it there is in `dropped`.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, Shape, Shape], ...] = ()
    dropped: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    prefix: str = ""

    def __getitem__(self, key: str) -> list[Any]:
        return list(other_attribute(LOAD_REPORT, self, key))

    def keys(self) -> tuple[str, ...]:
        """The keys of the mapping."""
        return tuple(LOAD_REPORT)


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """The parameters of a model that a checkpoint has, and a report on the others.

    As a context manager it closes the file at the end; otherwise the file is open while `weights` is referred to.

    Attributes:
        weights: the model's parameter names, in its order, to arrays in PyTorch's layout, read when asked for.
        report: what did not match.
    """

    weights: LazyWeights
    report: LoadReport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.weights.close()


Match = Callable[[LazyWeights, BaseConfig, str | None], LoadedWeights]


def load_weights(
    path: str | Path | LazyWeights,
    config: BaseConfig,
    task: str | None,
    *,
    new_head: bool = False,
    ignore_mismatched_sizes: bool = False,
    match: Match | None = None,
    fresh: Collection[str] = (),
) -> LoadedWeights:
    """Opens a checkpoint for a model; a bare one fits a task model and the reverse.

    Non-finite numbers are kept as they are.

    Args:
        path: a checkpoint folder, or the weight file itself; or weights that are open.
        config: the model's configuration.
        task: its task; None for the bare backbone.
        new_head: whether any parameter of the head may be missing, silently.
        ignore_mismatched_sizes: whether parameters whose shape differs are left out, with a warning.
        match: used instead of `match_weights`.
        fresh: names of other parameters that may be missing, with a warning.

    Returns:
        the parameters the file has, and the report.

    Raises:
        WeightError: no weight file, a damaged one, or one that does not fit; all problems in one message. Only
            missing poolers and classifiers are a warning.
        InputError: no such task.
    """
    source = open_weights(path, config, fresh)
    loaded = (match or match_weights)(source, config, task)
    report = loaded.report
    allowed = (*(_head_names(config, task) if new_head else (f"{module}." for module in FRESH_MODULES)), *fresh)
    try:
        refuse_problems(loaded, config, task, allowed, ignore_mismatched_sizes=ignore_mismatched_sizes)
        if report.missing and not new_head:
            warnings.warn(
                f"{source.file} has no {name_list(report.missing)}. They start fresh: train the model before use.",
                DebertaWarning,
                stacklevel=2,
            )
        if task_spec(task).scores_words and any(name.startswith("mask_predictions.") for name in report.dropped):
            warnings.warn(
                f"{source.file} is a discriminator (it holds mask_predictions), whose masked-LM head is not what "
                f"predicts words in v3. Load the generator it was trained with, the weights "
                f"{' or '.join(GENERATOR_FILES)}.",
                DebertaWarning,
                stacklevel=2,
            )
        if report.mismatched:
            warnings.warn(
                f"{source.file} has other shapes for {name_list(map(_shapes, report.mismatched))}. They start fresh: "
                f"train the model before use.",
                DebertaWarning,
                stacklevel=2,
            )
    except BaseException:
        source.close()
        raise
    return loaded


def match_weights(source: LazyWeights, config: BaseConfig, task: str | None) -> LoadedWeights:
    """Sorts the names of an open weight file into those of a model and the rest, without judging.

    Args:
        source: the open file.
        config: the model's configuration.
        task: its task; None for the bare backbone.

    Raises:
        InputError: no such task.
    """
    parameters = expand(config, task)
    by_canonical = {parameter.canonical: parameter for parameter in parameters.values()}
    by_alias = {alias: parameter for parameter in parameters.values() for alias in parameter.aliases}
    own = {canonical.split(".")[0] for canonical in by_canonical}
    other_heads = tuple(f"{module}." for module in head_modules() if module not in own)
    found: dict[str, str] = {}
    copies: dict[str, str] = {}  # second copies in the file -> the parameter
    unexpected, dropped = [], []
    by_name = canonical_names(source)
    stored = set(by_name.values())
    for name, canonical in by_name.items():
        alias_of = by_alias.get(canonical)
        if canonical in by_canonical:
            found[by_canonical[canonical].name] = name
        elif alias_of is not None and alias_of.canonical not in stored:
            found[alias_of.name] = name  # the only copy
        elif alias_of is not None and canonical.split(".")[0] in own:
            copies[name] = alias_of.name
        elif canonical in UNUSED_NAMES or canonical.startswith(other_heads):
            dropped.append(name)
        else:
            unexpected.append(name)
    fits = {name: found[name] for name in parameters if name in found}
    mismatched = [
        (name, source.entries[stored].shape, parameters[name].shape)
        for name, stored in fits.items()
        if source.entries[stored].shape != parameters[name].shape
    ]
    for name, *_ in mismatched:
        del fits[name]
    report = LoadReport(
        missing=tuple(sorted(parameters.keys() - found.keys())),
        unexpected=tuple(sorted(unexpected)),
        mismatched=tuple(sorted(mismatched)),
        dropped=tuple(sorted([*dropped, *source.beside])),
        tied=tuple(sorted(copies)),
        prefix=_prefix(source),
    )
    weights = source.select(fits)
    for name, parameter in copies.items():
        if parameter in fits:
            weights.entries[parameter] = compared(source.file, weights.entries[parameter], [source.entries[name]])
    return LoadedWeights(weights, report)


def refuse_problems(
    loaded: LoadedWeights,
    config: BaseConfig,
    task: str | None,
    allowed: tuple[str, ...] = (),
    *,
    ignore_mismatched_sizes: bool = False,
) -> None:
    """Raises everything a report says against a checkpoint, in one message.

    Args:
        loaded: what `match_weights` gave.
        config: the model's configuration.
        task: its task.
        allowed: beginnings of the names that may be missing; what is named as a whole may also hold other numbers.
        ignore_mismatched_sizes: whether shapes may differ.

    Raises:
        WeightError: there is something.
    """
    report, entries = loaded.report, loaded.weights.entries
    not_float = [
        f"{name} ({e.dtype})" for name, e in entries.items() if e.dtype.name not in _FLOATS and name not in allowed
    ]
    problems: dict[str, Sequence[str]] = {
        "missing": [name for name in report.missing if not name.startswith(allowed)],
        "unexpected": report.unexpected,
        "of another shape": [] if ignore_mismatched_sizes else [_shapes(row) for row in report.mismatched],
        "no floating point numbers": not_float,
    }
    if not any(problems.values()):
        return
    model = type(config).__name__.removesuffix("Config") + task_spec(task).class_suffix
    parts = [f"{kind} ({len(names)}): {name_list(names)}." for kind, names in problems.items() if names]
    raise WeightError(
        f"{loaded.weights.file} does not fit {model}: {' '.join(parts)} {_mend(loaded, config, task, problems)}"
    )


def _head_names(config: BaseConfig, task: str | None) -> tuple[str, ...]:
    """The parameters of a task model that a backbone does not have, its decoder's table among them."""
    backbone = {parameter.canonical for parameter in expand(config, None).values()}
    return tuple(name for name, parameter in expand(config, task).items() if parameter.canonical not in backbone)


def _prefix(source: LazyWeights) -> str:
    """What stands before the names that are stored; nothing in formats that spell names their own way."""
    stored = {name: entry.stored for name, entry in source.entries.items()}
    found = {place.removesuffix(name) for name, place in stored.items() if place.endswith(name)}
    return found.pop() if len(found) == 1 else ""


def canonical_names(source: Mapping[str, Array]) -> dict[str, str]:
    """Names in a file -> names with the backbone's prefix, which the file of a bare model does not have."""
    if any(name.startswith(BACKBONE_PREFIX) for name in source):
        return {name: name for name in source}
    heads = tuple(f"{module}." for module in head_modules())
    return {name: name if name.startswith(heads) else BACKBONE_PREFIX + name for name in source}


def _mend(loaded: LoadedWeights, config: BaseConfig, task: str | None, problems: Mapping[str, Sequence[str]]) -> str:
    """What to do: a diagnosis where there is one."""
    names = [*loaded.weights, *loaded.report.unexpected, *(name for name, *_ in loaded.report.mismatched)]
    end, text = _DIAGNOSES[config.model_type]
    found = [f"Found {end}: {text}."] if any(name.endswith(end) for name in names) else []
    layers = 1 + max((int(match[1]) for name in names if (match := _LAYER_NUMBER.search(name))), default=-1)
    if names and layers != config.num_hidden_layers:
        found.append(f"The file has {layers} layers, but num_hidden_layers={config.num_hidden_layers} in the config.")
    if isinstance(quantised := config.extra.get("quantization_config"), dict):
        method = shown(quantised.get("quant_method"))[1:-1]
        found.append(f"Its weights are quantised by {method}, which is not read. Take the model it was made from.")
    if any(name.endswith("word_embeddings.weight") for name in problems["missing"]) and any(
        name in DELTA_NAMES.values() for name in loaded.report.dropped
    ):
        found.append(_NO_TABLE)
    found += _head_diagnosis(loaded, task, problems["missing"])
    if not found and problems["of another shape"]:
        found.append("Pass ignore_mismatched_sizes=True to start parameters of another shape fresh.")
    return " ".join([*found, "Use the config.json of this checkpoint and the class it was saved from."])


def _head_diagnosis(loaded: LoadedWeights, task: str | None, missing: Sequence[str]) -> list[str]:
    """Which head the file has, where the model's whole head is missing."""
    own = {module for module in task_spec(task).head_modules if any(name.startswith(f"{module}.") for name in missing)}
    if not own or any(name.startswith(tuple(f"{module}." for module in own)) for name in loaded.weights):
        return []
    held = sorted({name.split(".")[0] for name in loaded.report.dropped} & head_modules())
    other = [module for module in MASKED_LM_HEADS if module in held]
    if task_spec(task).scores_words and other:
        return [f"The file holds {other[0]}: set legacy={MASKED_LM_HEADS[other[0]]}."]
    has = f"the head {', '.join(held)}" if held else "no head"
    return [f"The file holds {has}: pass new_head=True to start {name_list(own)} fresh."]


def _shapes(row: tuple[str, Shape, Shape]) -> str:
    return f"{row[0]} (file {row[1]}, model {row[2]})"
