"""Checking a conversion: both frameworks and the float64 reference on the same inputs, from both folders."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.convert.convert import find_task
from conformance.tolerances import TOLERANCES
from deberta_core.checkpoint import load_weights, open_weights
from deberta_core.config import DebertaV2Config
from deberta_core.errors import WeightError
from deberta_core.parameters import Array
from deberta_core.reference.forward import forward
from deberta_core.tasks import task_spec

VOCABULARY_FILE = "spm.model"
TEXTS = (
    "The committee approved the budget on Tuesday, after nearly three hours of debate about schools and roads.",
    "Rain stopped play.",
    "Ein Brief aus Zürich kam an; he paid €12.50 for it — 東京 was the last stop.",
)
_LENGTHS = (24, 1, 13)  # tokens of made-up inputs: the longest, the shortest there is, an odd one
_MAX_TOKENS = 128  # of a real text; the reference is slow

Run = Callable[[Path, DebertaV2Config, str | None, Mapping[str, Array]], Array]


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
        whether every difference is within its bound.

    Raises:
        WeightError: a framework is not installed, or a folder cannot be loaded.
    """
    lines = compare(Path(source), Path(target))
    show(f"{'framework':<12}{'what':<44}{'max |difference|':>18}{'bound':>12}")
    for line in lines:
        mark = "" if line.passed else "  FAILED"
        show(f"{line.framework:<12}{line.what:<44}{line.difference:>18.3g}{line.bound:>12.3g}{mark}")
    return all(line.passed for line in lines)


def compare(source: Path, target: Path) -> list[Line]:
    """The comparisons of `verify`: stored numbers, then what each framework computes from each folder."""
    config = DebertaV2Config.from_pretrained(source)
    with open_weights(source, config) as stored:
        task = find_task(config, stored)
    with load_weights(source, config, task) as loaded:
        weights = dict(loaded.weights)
    lines = [Line("files", "stored numbers, source and target", _stored_difference(weights, target, task), 0.0)]
    inputs = make_inputs(source, config)
    field = _output_field(task)
    expected = forward(config, weights, inputs, task)[field]
    kept = _kept(expected, inputs["attention_mask"])
    bound = TOLERANCES["converted"].limit * float(np.abs(expected[kept]).max())
    for framework, run in RUNNERS.items():
        for role, folder in (("source", source), ("target", target)):
            actual = run(folder, config, task, inputs)
            difference = float(np.abs(actual.astype(np.float64) - expected)[kept].max())
            lines.append(Line(framework, f"{field} from the {role}", difference, bound))
    return lines


def make_inputs(folder: Path, config: DebertaV2Config) -> dict[str, Array]:
    """A padded batch: real text if the folder has a vocabulary, else ids over the whole vocabulary.

    Returns:
        `input_ids [B, L]` and `attention_mask [B, L]`, int32.
    """
    limit = config.max_position_embeddings
    if (folder / VOCABULARY_FILE).is_file():
        from deberta_core.tokenization import DebertaV2Tokenizer

        tokenizer = DebertaV2Tokenizer.from_pretrained(folder)
        length = min(limit, _MAX_TOKENS)
        batch = tokenizer(list(TEXTS), padding=True, truncation=True, max_length=length, return_tensors="np")
        return {name: np.asarray(batch[name], dtype=np.int32) for name in ("input_ids", "attention_mask")}
    lengths = np.minimum(_LENGTHS, limit)
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]  # [B, L]
    ids = np.random.default_rng(0).integers(0, config.vocab_size, mask.shape)
    ids = np.where(mask, ids, config.pad_token_id)
    return {"input_ids": ids.astype(np.int32), "attention_mask": mask.astype(np.int32)}


def _torch(folder: Path, config: DebertaV2Config, task: str | None, inputs: Mapping[str, Array]) -> Array:
    torch, models = _import("torch", "torch"), _import("deberta_torch", "torch")
    model = _model_class(models, "", config, task).from_pretrained(folder).eval()
    with torch.no_grad():
        # Ids are int64 in torch by custom.
        outputs = model(**{name: torch.from_numpy(array.astype(np.int64)) for name, array in inputs.items()})
    result: Array = getattr(outputs, _output_field(task)).numpy()
    return result


def _tensorflow(folder: Path, config: DebertaV2Config, task: str | None, inputs: Mapping[str, Array]) -> Array:
    models = _import("deberta_tf", "tf")
    model = _model_class(models, "TF", config, task).from_pretrained(folder)
    return np.asarray(getattr(model(**inputs, training=False), _output_field(task)))


RUNNERS: dict[str, Run] = {"torch": _torch, "tensorflow": _tensorflow}


def _import(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        raise WeightError(
            f"--verify computes with both frameworks, but {problem.name} is not installed. "
            f'Install it with: pip install "deberta-dual[{extra}]"'
        ) from problem


def _model_class(models: Any, prefix: str, config: DebertaV2Config, task: str | None) -> Any:
    family = type(config).__name__.removesuffix("Config")
    return getattr(models, f"{prefix}{family}{task_spec(task).class_suffix}")


def _output_field(task: str | None) -> str:
    return "logits" if task else "last_hidden_state"


def _kept(expected: Array, mask: Array) -> Array:
    """Which numbers count: outputs per token have no meaning at padding."""
    per_token = expected.ndim > 2
    return mask.astype(bool) if per_token else np.ones(expected.shape[:1], dtype=bool)


def _stored_difference(weights: Mapping[str, Array], target: Path, task: str | None) -> float:
    """The largest difference of a parameter between the folders; a conversion moves numbers and changes none."""
    config = DebertaV2Config.from_pretrained(target)
    worst = 0.0
    with load_weights(target, config, task) as loaded:
        for name, array in weights.items():
            other = loaded.weights[name]
            if not np.array_equal(array, other, equal_nan=True):
                difference = np.abs(array.astype(np.float64) - other.astype(np.float64)).max()
                worst = float(np.maximum(worst, difference))  # keeps a NaN, which fails
    return worst
