"""`compile`: the engine, dtype and threads for a model on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.arguments import row_of
from deberta_core.checkpoint import checkpoint_folder, load_config
from deberta_core.errors import InputError, one_of
from deberta_dual.compiling.candidates import CLOSE, EXACT, GOALS
from deberta_dual.compiling.choice import Choice, Measured, choice_file, choose, read_choice, write_choice
from deberta_dual.compiling.measure import measure
from deberta_dual.data.formats import AUTO
from deberta_dual.data.load import Named, Sources
from deberta_dual.evaluation.job import evaluate
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.pipelines.checkpoint_heads import find_model_task
from deberta_dual.pipelines.factory import PIPELINES, known_task

# Metrics of which less is better.
_LOSSES = ("loss",)
FEWEST = 100  # examples that judge a dtype


def compile(  # the word of torch and of Keras; Python's own function of this name is not needed here
    model: str | Path,
    goal: str = "latency",
    *,
    task: str | None = None,
    calibration: Sources | None = None,
    columns: Named = None,
    input_format: str = AUTO,
    largest_drop: float = 0.005,
    force: bool = False,
) -> Choice:
    """Measures for about a second how a model runs the fastest on this machine, and keeps the answer.

    PyTorch (`optimize`), ONNX Runtime and OpenVINO are tried, as far as they are installed, in float32 and in bfloat16
    where the processor has it. int8 is tried only with `calibration`. Pipelines find the choice by
    `framework="auto"` ("auto-throughput", "auto-long-texts"). It is kept below `$XDG_CACHE_HOME/deberta-dual`, by the
    content of the weights, the versions installed and the machine; nothing is written into the model's folder.

    Args:
        model: a checkpoint folder, an exported folder, or a hub id.
        goal: "latency" of one short text, "throughput" of batches of some hundred tokens a text, or "long-texts" of
            about 512.
        task: a name of `PIPELINES`; None: that of the model's head.
        calibration: labelled examples, as `evaluate` takes them. Every dtype that would be taken is then judged by
            them, int8 among them.
        columns: of these, see `parse_columns`.
        input_format: of their files.
        largest_drop: how much worse than float32 the metric may be.
        force: measure anew, though the answer is known.

    Raises:
        InputError: an argument or an example cannot be used, or nothing runs the model here.
        WeightError: the checkpoint has no head for this task, or does not fit.
        ConfigError: config.json is missing or wrong.
    """
    row_of(GOALS, "goal", goal)
    if not 0 <= largest_drop < 1:
        raise InputError(f"largest_drop={largest_drop} is not from 0 to below 1.")
    folder = checkpoint_folder(model)
    name = _pipeline_of(folder, task)
    model_task = PIPELINES[name].model_task
    file = choice_file(folder, model_task, goal)
    if calibration is None:
        if not force and (found := read_choice(file)) is not None:
            return found
        rows, judge = measure(folder, model_task, goal, (EXACT, *CLOSE))
        choice = choose(goal, rows, judge)
    else:
        if name not in FINETUNE_TASKS:
            raise InputError(one_of("task", name, tuple(FINETUNE_TASKS)) + " Others have no metric to calibrate by.")
        data = {"data": calibration, "columns": columns, "input_format": input_format}
        judged = _Calibration(name, folder, largest_drop, **data)
        rows, _ = measure(folder, model_task, goal, (EXACT, *CLOSE, "int8"))
        choice = choose(goal, rows, judged.admits)
    write_choice(file, choice)
    return choice


def _pipeline_of(folder: Path, task: str | None) -> str:
    if task is not None:
        return known_task(task)
    model_task = find_model_task(folder)
    return next(name for name, cls in PIPELINES.items() if cls.model_task == model_task)


class _Calibration:
    """What a dtype does to the metric of a task.

    Args:
        task: a name of `FINETUNE_TASKS`.
        folder: the model.
        largest_drop: how much worse the metric may be.
        **data: labelled examples, as `evaluate` takes them.
    """

    def __init__(self, task: str, folder: Path, largest_drop: float, **data: Any) -> None:
        self.task, self.folder, self.largest_drop, self.data = task, folder, largest_drop, data
        self._found: dict[tuple[str, str], tuple[str, float]] = {}

    def admits(self, row: Measured) -> bool:
        """Whether a way may be taken; its note says what the examples said."""
        kind = row.candidate
        (name, before), (_, after) = self._of(kind.framework, EXACT), self._of(kind.framework, kind.dtype)
        passed = (after - before) * (1 if name in _LOSSES else -1) <= self.largest_drop
        row.note = f"{name} {before:.4f} in float32, {after:.4f} in {kind.dtype}"
        row.note += "" if passed else f": worse by more than {self.largest_drop}"
        return passed

    def _of(self, framework: str, dtype: str) -> tuple[str, float]:
        """The metric's name and value."""
        if (framework, dtype) not in self._found:
            found = evaluate(self.task, self.folder, framework=framework, device="cpu", dtype=dtype, **self.data)
            if len(found.records) < FEWEST:
                raise InputError(
                    f"calibration has {len(found.records)} examples; a difference needs at least {FEWEST}."
                )
            cls = FINETUNE_TASKS[self.task]
            name = cls.metric(load_config(None, self.folder, cls.task), found.records)
            self._found[framework, dtype] = name, found.metrics[name]
        return self._found[framework, dtype]
