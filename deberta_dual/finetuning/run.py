"""A run of training, whatever framework computes it: when to evaluate, to save and to stop."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deberta_core.errors import WeightError
from deberta_dual.backends.protocol import Comparison
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.curve import LossCurve, Point
from deberta_dual.finetuning.folder import RunFolder
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.rates import rate_at
from deberta_dual.finetuning.schedule import Piece, Schedule
from deberta_dual.processes import is_main
from deberta_dual.progress import Speed, StatusLine, bar, memory_words, peak_memory

LOSS = "loss"  # the score of which less is better


Report = Callable[[Mapping[str, Any]], None]


class Run:
    """What a framework's loop asks, and what it tells.

    Args:
        schedule: the examples of each step.
        options: of the training.
        rates: for every parameter its share of the learning rate, and its weight decay.
        folder: where everything is written.
        identity: what must be the same for the run to be resumed.
        evaluate: judges the model as it is; None without data to judge it by.
        metric: of the evaluation, the one that says which model is the best; None: the last one is.
        save_model: writes the model and its tokenizer into a folder.
        report: is given every row of scores.
        watch: is given every point of the loss; None: nobody.
        memory: the bytes in use at their peak; None where nobody knows.
        comparison: the loss of texts that are compared with each other; None: the model's own.
        is_finite: whether all weights of the model are numbers.

    Attributes:
        first_step: the number of the step to begin with.
        interval: steps between two evaluations.
        curve: the loss so far.
    """

    def __init__(
        self,
        schedule: Schedule,
        options: TrainingOptions,
        rates: Mapping[str, tuple[float, float]],
        folder: RunFolder,
        identity: Mapping[str, Any],
        evaluate: Callable[[], Metrics] | None,
        metric: str | None,
        save_model: Callable[[Path], None],
        report: Report,
        watch: Callable[[Point], None] | None = None,
        memory: Callable[[], int | None] = peak_memory,
        comparison: Comparison | None = None,
        is_finite: Callable[[], bool] = lambda: True,
    ) -> None:
        self.schedule, self.options, self.rates, self.folder = schedule, options, rates, folder
        self._identity, self._evaluate, self._metric = identity, evaluate, metric
        self._save_model, self._report, self._watch, self._memory = save_model, report, watch, memory
        self.comparison, self._is_finite = comparison, is_finite
        self.interval = min(options.evaluate_every or schedule.steps_per_epoch, schedule.steps)
        state = folder.state(identity) or {}
        self.first_step: int = state.get("step", 0)
        self.rows: list[dict[str, Any]] = state.get("rows", [])
        self._best: float | None = state.get("best")
        self._worse: int = state.get("worse", 0)
        self.has_stopped: bool = state.get("stopped", False)
        self.curve = LossCurve(schedule.steps, state.get("curve"))
        self._status, self._speed = StatusLine(), Speed(schedule.steps - self.first_step)
        self._loss, self._examples, self._tokens, self._seconds = 0.0, 0, 0, 0.0
        self._since = time.perf_counter()

    def __enter__(self) -> Run:
        self._status.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._status.__exit__(*error)

    @property
    def steps(self) -> int:
        """The number of the last step, and one."""
        return self.schedule.steps

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return rate_at(step, self.steps, self.options.learning_rate, self.options.warmup)

    def pieces(self, step: int, process: int = 0, processes: int = 1) -> Iterator[Piece]:
        """What a process learns from in a step; see `Schedule.pieces`."""
        return self.schedule.pieces(step, process, processes)

    def start_clock(self) -> None:
        """Tells that training goes on, after what is not counted."""
        self._since = time.perf_counter()

    def step_done(self, step: int, loss: float, examples: int, tokens: int) -> None:
        """Counts a step.

        Args:
            step: its number.
            loss: the mean over its labels.
            examples: how many there were.
            tokens: real ones, over all processes.

        Raises:
            WeightError: the loss is not finite; no later step would mend the weights.
        """
        if not math.isfinite(loss):
            raise WeightError(
                f"the loss of step {step + 1} is {loss}. Lower the learning rate, or check the first weights."
            )
        self._loss, self._examples = self._loss + loss * examples, self._examples + examples
        self._tokens += tokens
        now = time.perf_counter()
        self._speed.add(examples, now - self._since)
        self._seconds, self._since = self._seconds + now - self._since, now
        point = self.curve.add(step, loss, examples, self.rate(step))
        if point is not None and self._watch is not None and is_main():
            self._watch(point)
        if self._status.is_due():
            numbers = f"loss {self._mean_loss():.4f}, learning rate {self.rate(step):.2e}"
            done = f"{bar((step + 1) / self.steps)} step {step + 1:,} of {self.steps:,}"
            self._status.draw(", ".join([done, numbers, *self._speed.words(), *memory_words(self._memory())]) + " ")

    def ends_interval(self, step: int) -> bool:
        """Whether the model is judged and saved after this step."""
        return (step + 1) % self.interval == 0 or step + 1 == self.steps

    def finish_interval(
        self, step: int, write_state: Callable[[Path], None], agree: Callable[[Metrics], Metrics] | None = None
    ) -> bool:
        """Judges the model, saves it if it is the best so far, and a state to resume from.

        Args:
            step: the last one.
            write_state: writes what the framework needs to go on into a folder; called in one process alone.
            agree: makes one result of those of several processes.

        Returns:
            whether training stops.

        Raises:
            WeightError: the loss on the evaluation data, or a weight, is not finite; what was saved before stays.
        """
        row = self.row(step)
        self._loss, self._examples, self._tokens, self._seconds = 0.0, 0, 0, 0.0
        is_best = True
        if self._evaluate is not None:
            scores = self._evaluate()
            scores = agree(scores) if agree else scores
            if not math.isfinite(scores.get(LOSS, 0.0)):  # its last step broke the model, which is not saved
                raise WeightError(
                    f"the loss on the evaluation data is {scores[LOSS]} after step {step + 1}. Lower the learning rate."
                )
            row |= {f"eval_{name}": value for name, value in scores.items()}
            is_best = self._metric is None or self._compare(scores[self._metric])
        if not self._is_finite():  # the loss, which comes before a step, did not tell yet
            raise WeightError(f"the weights are no longer finite after step {step + 1}. Lower the learning rate.")
        self.rows.append(row)
        patience = self.options.patience
        self.has_stopped = patience is not None and self._worse >= patience
        if is_main():
            self.folder.save(self.progress(step), self.rows, write_state, self._save_model if is_best else None)
            self._report(row)
        self.start_clock()
        return self.has_stopped

    def row(self, step: int) -> dict[str, Any]:
        """What there is to tell of the interval that ends with a step, but for the scores."""
        return {
            "step": step + 1,
            "epoch": (step + 1) / self.schedule.steps_per_epoch,
            "loss": self._mean_loss(),
            "learning_rate": self.rate(step),
            "tokens_per_second": self.tokens_per_second,
        }

    def progress(self, step: int) -> dict[str, Any]:
        """What a run needs to go on behind a step, as JSON; the framework's part lies beside."""
        return {
            "identity": self._identity,
            "step": step + 1,
            "rows": self.rows,
            "best": self._best,
            "worse": self._worse,
            "stopped": self.has_stopped,
            "curve": self.curve.state(),
        }

    @property
    def tokens_per_second(self) -> float:
        """Real tokens a second in this interval."""
        return self._tokens / max(self._seconds, 1e-9)

    def _compare(self, value: float) -> bool:
        """Whether the model is the best so far."""
        is_better = operator.lt if self._metric == LOSS else operator.gt
        is_best = self._best is None or is_better(value, self._best)
        self._best = value if is_best else self._best
        self._worse = 0 if is_best else self._worse + 1
        return is_best

    def _mean_loss(self) -> float:
        return self._loss / max(self._examples, 1)
