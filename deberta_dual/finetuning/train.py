"""One training: from examples to a checkpoint in a folder, judged and described."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, WeightError, name_list
from deberta_core.initialization import draw_parameters
from deberta_core.layout import ADAPTER, PLOT, TENSORBOARD
from deberta_core.parameters import expand
from deberta_core.tasks import BACKBONE_PREFIX
from deberta_dual.backends import Backend, get_backend
from deberta_dual.data.records import Note, Record
from deberta_dual.finetuning.card import CARD, model_card
from deberta_dual.finetuning.class_weights import label_weight, loss_options
from deberta_dual.finetuning.curve import Point
from deberta_dual.finetuning.events import EventFile
from deberta_dual.finetuning.folder import Files, Rows, RunFolder
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.plots import NO_PLOT, can_plot, training_plot
from deberta_dual.finetuning.rates import parameter_rates
from deberta_dual.finetuning.run import Report, Run
from deberta_dual.finetuning.schedule import Feature, Schedule
from deberta_dual.finetuning.start import Start
from deberta_dual.finetuning.tasks import FinetuneTask, Head
from deberta_dual.finetuning.teacher import add_teacher
from deberta_dual.processes import is_main
from deberta_dual.progress import peak_memory

EVALUATION_ROWS = 32  # in a batch; the result does not depend on it


class Examples(NamedTuple):
    """What a model learns from, is chosen by, and is judged by in the end."""

    training: list[Record]
    evaluation: list[Record]
    test: list[Record]

    @property
    def judged(self) -> list[Record]:
        """What tells how models are compared: the evaluation data, or where there are none the training data."""
        return self.evaluation or self.training


@dataclass(frozen=True, slots=True)
class Setting:
    """What all trainings of a job share.

    Attributes:
        cls: the task.
        start: what they start from.
        source: the folder of its checkpoint; None: fresh weights.
        config: of the model.
        head: that the data ask for.
        tokenizer: of the model.
        length: of a row, in tokens.
        choices: what was chosen of `long_texts`, `loss` and `pooling`; None: as is usual.
        framework: a name of `FRAMEWORKS`.
        device: such as "cuda:1"; None: a GPU if there is one.
        tensorboard: whether files for TensorBoard are written.
        report: is given every row.
        note: is told what is worth knowing; None: a log.
    """

    cls: type[FinetuneTask]
    start: Start
    source: Path | None
    config: BaseConfig
    head: Head
    tokenizer: Any
    length: int
    choices: Mapping[str, str | None]
    framework: str
    device: Any
    tensorboard: bool
    report: Report
    note: Note | None

    @property
    def base(self) -> str | None:
        """The checkpoint that training starts from; None: fresh weights."""
        return None if self.start.model is None else str(self.start.model)

    @property
    def backend(self) -> Backend:
        """The framework."""
        return get_backend(self.framework)

    def tell(self, text: str, level: int = logging.INFO) -> None:
        """Tells what is worth knowing."""
        if is_main():
            (self.note or partial(logging.getLogger(__name__).log, level))(text)

    def task(self) -> FinetuneTask:
        """The task around its data."""
        settings: dict[str, Any] = {"max_length": self.length, **self.choices}
        return self.cls(self.tokenizer, batch_size=EVALUATION_ROWS, **settings)

    def schedule(self, work: FinetuneTask, features: Sequence[Feature], training: TrainingOptions) -> Schedule:
        """The steps that learn from rows of a task."""
        names = ("batch_size", "accumulation", "epochs", "seed")
        settings = {name: getattr(training, name) for name in names}
        settings["weigh"] = label_weight(loss_options(training, features, self.config))
        return Schedule(features, work.collate, work.count, draw=work.drawn, rows=work.rows, **settings)

    def model(self, training: TrainingOptions, features: Sequence[Feature]) -> Any:
        """The model before its first step, and how classes count in its loss, by rows of the training data."""
        config, task = self.config, self.cls.task
        model, *lacks = self.backend.trainable_model(config, task, self.source, training.dtype, self.device)
        missing, mismatched = lacks
        fresh = _fresh_names(config, task, (*missing, *mismatched), self.head)
        if self.source is not None and (untold := sorted(fresh - {*mismatched})):
            text = f"{self.start.model} has no {name_list(untold)} for this task and these classes. They start fresh."
            warnings.warn(text, DebertaWarning, stacklevel=2)
        self.backend.set_parameters(model, draw_parameters(config, task, fresh, training.seed))
        model.loss_options = loss_options(training, features, config)
        if training.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        return model

    def rates(self, training: TrainingOptions) -> dict[str, tuple[float, float]]:
        """For every parameter its share of the learning rate, and its weight decay."""
        parameters = expand(self.config, self.cls.task)
        decays = training.layer_decay, training.weight_decay
        return parameter_rates(parameters, self.config, *decays, training.frozen_layers)

    def taught(
        self, work: FinetuneTask, records: Sequence[Record], features: Sequence[Feature], training: TrainingOptions
    ) -> Sequence[Feature]:
        """The rows of the training data, with what the teacher says of them, if there is one; see `add_teacher`."""
        if training.teacher is None:
            return features
        return add_teacher(features, records, work, self.config, training.teacher, self.backend, self.device)


def train_model(
    setting: Setting,
    examples: Examples,
    folder: RunFolder,
    training: TrainingOptions,
    *,
    about: Mapping[str, Any] | None = None,
    first: Files | None = None,
    more: Callable[[Path], Files] | None = None,
) -> Rows:
    """Trains a model, or goes on, and saves the best one with its scores.

    Args:
        setting: of the job.
        examples: of this training.
        folder: where everything is written.
        training: batch size, learning rate and so on.
        about: what else makes this training another one than the others of the job.
        first: what is in files of the folder to begin with, by name.
        more: makes further files of the folder with the best model, which are written when the run is at its end.

    Returns:
        the rows of scores.
    """
    work, cls, config, backend = setting.task(), setting.cls, setting.config, setting.backend
    parts = [work.features(part, config, judged=part is not examples.training) for part in examples]
    if work.truncated:
        what = f"{work.truncated} of {sum(map(len, examples))} examples are longer than"
        setting.tell(f"{what} max_length={setting.length} tokens and were cut.", logging.WARNING)
    model, metric = setting.model(training, parts[0]), cls.metric(config, examples.judged)
    learnt = setting.taught(work, examples.training, parts[0], training)
    judge = partial(work.score, backend.array_model(model, setting.device), examples.evaluation, parts[1])
    identity = {
        "task": cls.name,
        "framework": setting.framework,
        "start": str(setting.start.model or setting.start.preset),
        "config": json.loads(json.dumps(config.to_dict())),
        "data": dict(zip(("training", "evaluation", "test"), map(_digest, parts), strict=True)),
        **asdict(training),
        **({} if (compared := work.comparison()) is None else asdict(compared)),
        **(about or {}),
    }

    def save(target: Path) -> None:
        backend.save_model(model, target, target / ADAPTER if training.keep_adapter else None)
        work.save(target, config)

    events = EventFile(folder.path / TENSORBOARD) if setting.tensorboard and is_main() else None

    schedule = setting.schedule(work, learnt, training)

    def report(row: Mapping[str, Any]) -> None:
        setting.report(row)
        scores = {name.replace("_", "/", 1): row[name] for name in row if name.startswith(("eval_", "test_"))}
        if events is not None and scores:
            events.write(row.get("step", schedule.steps), scores)

    def watch(point: Point) -> None:
        if events is not None:
            events.write(point.step, {"train/loss": point.loss, "train/learning_rate": point.rate})

    run = Run(
        schedule,
        training,
        setting.rates(training),
        folder,
        identity,
        judge if examples.evaluation else None,
        metric,
        save,
        report,
        watch=watch,
        comparison=compared,
        memory=lambda: backend.peak_memory(model) or peak_memory(),
        is_finite=partial(backend.is_finite, model),
    )
    with folder.begun(first), run:
        backend.train(model, run, setting.device)
        rows, points = run.rows, run.curve.points
    if not is_main():
        return rows
    if examples.test or not examples.evaluation:
        best = backend.array_model(backend.load_model(folder.path, cls.task, setting.device), setting.device)
        name, number = ("test", 2) if examples.test else ("train", 0)
        scores = work.score(best, examples[number], parts[number])
        rows.append({f"{name}_{metric}": value for metric, value in scores.items()})
        report(rows[-1])
    sizes = dict(zip(("training", "evaluation", "test"), map(len, examples), strict=True))
    files: dict[str, str | bytes] = {CARD: model_card(config, identity, sizes, rows, setting.base)}
    if can_plot():
        files[PLOT] = training_plot(points, rows, metric)
    else:
        setting.tell(NO_PLOT.format(PLOT))
    folder.finish(rows, files | dict(more(folder.path) if more else {}))
    return rows


def _fresh_names(config: BaseConfig, task: str | None, missing: Sequence[str], head: Head) -> set[str]:
    """The parameters that start fresh: what the checkpoint lacks, and a classifier of other classes.

    Raises:
        WeightError: it lacks a part of the backbone, or has one of another shape.
    """
    names = expand(config, task)
    backbone = [name for name in missing if task is None or name.startswith(BACKBONE_PREFIX)]
    if backbone and len(missing) < len(names):
        raise WeightError(f"The checkpoint does not fit the configuration: {name_list(backbone)}. Change fewer fields.")
    return {*missing, *(name for name in names if head.is_new and name.startswith("classifier."))}


def _digest(features: Iterable[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(features).encode()).hexdigest()
