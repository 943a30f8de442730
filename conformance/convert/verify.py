"""Checking a conversion: both frameworks and the float64 reference on the same inputs, from both folders."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.convert.task import class_name, find_task
from conformance.tolerances import TOLERANCES
from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import load_config, load_weights, open_weights
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
from deberta_core.parameters import Array
from deberta_core.reference.forward import forward
from deberta_core.tasks import task_spec

VOCABULARY_FILES = ("spm.model", "vocab.json", "tokenizer.json")  # of v2 and v3, of v1, of either
TEXTS = (
    "The committee approved the budget on Tuesday, after nearly three hours of debate about schools and roads.",
    "Rain stopped play.",
    "Ein Brief aus Zürich kam an; he paid €12.50 for it — 東京 was the last stop.",
)
_LENGTHS = (24, 1, 13)  # tokens of made-up inputs: the longest, the shortest there is, an odd one
_NOT_COMPARED = ("loss", "hidden_states", "attentions")
_MAX_TOKENS = 128  # of a real text; the reference is slow

Run = Callable[[Path, BaseConfig, str | None, Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison.

    Attributes:
        framework: who computed.
        what: what is compared with the reference, and from which folder.
        difference: the largest absolute one.
        bound: what it may be.
    """

    framework: str
    what: str
    difference: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; a NaN never is."""
        return self.difference <= self.bound


def verify(source: str | Path, target: str | Path, show: Callable[[str], object] = print) -> bool:
    """Compares what both folders compute with the reference on the source's weights, and shows a table.

    Args:
        source: the folder that was converted.
        target: the folder that came out.
        show: takes the table.

    Returns:
        whether every difference is within its bound; a framework that is not installed is named and left out.

    Raises:
        WeightError: no framework is installed, or a folder cannot be loaded.
    """
    lines = compare(Path(source), Path(target))
    for framework in sorted(RUNNERS.keys() - set(installed_frameworks())):
        show(f"{framework} is not installed, so nothing is said about it")
    return show_lines(lines, show)


def show_lines(lines: Sequence[Line], show: Callable[[str], object] = print) -> bool:
    """Shows comparisons as a table; whether all are within their bounds."""
    show(f"{'framework':<12}{'what':<44}{'max |difference|':>18}{'bound':>12}")
    for line in lines:
        mark = "" if line.passed else "  FAILED"
        show(f"{line.framework:<12}{line.what:<44}{line.difference:>18.3g}{line.bound:>12.3g}{mark}")
    return all(line.passed for line in lines)


def installed_frameworks() -> list[str]:
    """The names in `RUNNERS` that can compute here.

    Raises:
        WeightError: none can.
    """
    found = [name for name in RUNNERS if all(map(_is_installed, _PACKAGES.get(name, ())))]
    if not found:
        raise WeightError(
            f"--verify computes with a framework, but {' or '.join(RUNNERS)} is not installed. Install one with: "
            f'pip install "deberta-dual[torch]", or "deberta-dual[tf]"'
        )
    return found


def compare(source: Path, target: Path) -> list[Line]:
    """The comparisons of `verify`: stored numbers, then what each framework computes from each folder."""
    frameworks = installed_frameworks()
    config = load_config(None, source, "masked_lm")  # as `convert` does
    with open_weights(source, config) as stored:
        task = find_task(config, stored)
    with load_weights(source, config, task) as loaded:
        weights = dict(loaded.weights)
    lines = [Line("files", "stored numbers, source and target", _stored_difference(weights, target, task), 0.0)]
    inputs = make_inputs(source, config, task)
    expected = forward(config, weights, inputs, task)
    kept = counted(inputs["attention_mask"], task)
    for framework in frameworks:
        run = RUNNERS[framework]
        for role, folder in (("source", source), ("target", target)):
            actual = run(folder, config, task, inputs)
            lines += compare_outputs(framework, f"from the {role}", actual, expected, kept, task)
    return lines


def compare_outputs(
    framework: str,
    where: str,
    actual: Mapping[str, Array],
    expected: Mapping[str, Array],
    kept: Array,
    task: str | None,
    quantity: str = "converted",
) -> list[Line]:
    """A line for every output of a task.

    Args:
        framework: who computed `actual`.
        where: from what.
        actual: outputs by name.
        expected: those of the reference.
        kept: which rows, or tokens, count.
        task: the task.
        quantity: the name of the bound.
    """
    lines = []
    for field in output_fields(task):
        bound = TOLERANCES[quantity].limit * float(np.abs(expected[field][kept]).max())
        difference = float(np.abs(actual[field].astype(np.float64) - expected[field])[kept].max())
        lines.append(Line(framework, f"{field} {where}", difference, bound))
    return lines


def make_inputs(folder: Path, config: BaseConfig, task: str | None = None) -> dict[str, Array]:
    """A padded batch: real text if the folder has a vocabulary, else ids over the whole vocabulary.

    Returns:
        `input_ids [B, L]` and `attention_mask [B, L]`, int32; `[B, N, L]` where the task has choices.
    """
    inputs = _texts(folder, config)
    if task_spec(task).folds_choices:  # each text with another one
        return {name: np.stack([array, np.roll(array, 1, axis=0)], axis=1) for name, array in inputs.items()}
    return inputs


def output_fields(task: str | None) -> tuple[str, ...]:
    """What is compared: the last hidden state, or the head's outputs."""
    return tuple(name for name in task_spec(task).output.all_fields if name not in _NOT_COMPARED)


def _texts(folder: Path, config: BaseConfig) -> dict[str, Array]:
    limit = config.max_position_embeddings
    if any((folder / name).is_file() for name in VOCABULARY_FILES):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        length = min(limit, _MAX_TOKENS)
        batch = tokenizer(list(TEXTS), padding=True, truncation=True, max_length=length, return_tensors="np")
        return {name: np.asarray(batch[name], dtype=np.int32) for name in ("input_ids", "attention_mask")}
    lengths = np.minimum(_LENGTHS, limit)
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]  # [B, L]
    ids = np.random.default_rng(0).integers(0, config.vocab_size, mask.shape)
    ids = np.where(mask, ids, config.pad_token_id)
    return {"input_ids": ids.astype(np.int32), "attention_mask": mask.astype(np.int32)}


def _torch(folder: Path, config: BaseConfig, task: str | None, inputs: Mapping[str, Array]) -> dict[str, Array]:
    torch, models = importlib.import_module("torch"), importlib.import_module("deberta_torch")
    model = _model_class(models, "", config, task).from_pretrained(folder).eval()
    with torch.no_grad():
        # Ids are int64 in torch by custom.
        outputs = model(**{name: torch.from_numpy(array.astype(np.int64)) for name, array in inputs.items()})
    return {field: getattr(outputs, field).numpy() for field in output_fields(task)}


def _tensorflow(folder: Path, config: BaseConfig, task: str | None, inputs: Mapping[str, Array]) -> dict[str, Array]:
    models = importlib.import_module("deberta_tf")
    model = _model_class(models, "TF", config, task).from_pretrained(folder)
    outputs = model(**inputs, training=False)
    return {field: np.asarray(getattr(outputs, field)) for field in output_fields(task)}


RUNNERS: dict[str, Run] = {"torch": _torch, "tensorflow": _tensorflow}
_PACKAGES = {"torch": ("torch",), "tensorflow": ("tensorflow", "keras")}


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _model_class(models: Any, prefix: str, config: BaseConfig, task: str | None) -> Any:
    return getattr(models, prefix + class_name(config, task_spec(task)))


def counted(mask: Array, task: str | None) -> Array:
    """Which outputs count: those per token have no meaning at padding."""
    per_text = "pooler" in task_spec(task).head_modules
    return np.ones(len(mask), dtype=bool) if per_text else mask.astype(bool)


def _stored_difference(weights: Mapping[str, Array], target: Path, task: str | None) -> float:
    """The largest difference of a parameter between the folders; a conversion moves numbers and changes none."""
    config = load_config(None, target, task)
    worst = 0.0
    with load_weights(target, config, task) as loaded:
        for name, array in weights.items():
            other = loaded.weights[name]
            if not np.array_equal(array, other, equal_nan=True):
                difference = np.abs(array.astype(np.float64) - other.astype(np.float64)).max()
                worst = float(np.maximum(worst, difference))  # keeps a NaN, which fails
    return worst
