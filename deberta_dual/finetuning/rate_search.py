"""The search for a learning rate: a range test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deberta_core.errors import WeightError
from deberta_core.layout import RATE_PLOT, RATES
from deberta_dual.data.records import Record
from deberta_dual.finetuning.folder import Files, Rows, RunFolder
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.plots import can_plot, rate_plot
from deberta_dual.finetuning.run import LOSS, Run
from deberta_dual.finetuning.train import Setting

LOWEST, HIGHEST = 1e-7, 1e-2  # learning rates
STEPS, SKIPPED = 100, 10  # at most; and at the beginning, where little is smoothed
KEPT = 0.9  # of the smoothed loss at each step
DIVERGED = 3.0  # times the lowest smoothed loss
BELOW = 10.0  # how many times lower than the rate of the lowest loss the suggestion is


def search_rate(
    setting: Setting, records: Sequence[Record], training: TrainingOptions
) -> tuple[TrainingOptions, Files]:
    """Trains for some steps from the same weights, while the learning rate rises, and chooses one.

    The rate grows by the same factor at each of `STEPS` steps, from `LOWEST` to `HIGHEST`, without warm-up; the test
    ends early where the smoothed loss is `DIVERGED` times the lowest one. The suggestion is a tenth of the rate at
    which the smoothed loss is lowest, the first `SKIPPED` steps left out.

    Args:
        setting: of the job.
        records: the training data.
        training: all but the learning rate.

    Returns:
        the options with the suggestion, and what is in the files that show how it was found.

    Raises:
        WeightError: the loss is not finite from the first step on.

    Source:
        L. N. Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3; the tenth is common
        practice, since rates near the lowest loss are already on the edge.
    """
    work = setting.task()
    features = setting.taught(work, records, work.features(records, setting.config), training)
    per_epoch = -(-len(features) // training.batch_size)
    options = replace(training, epochs=-(-STEPS // per_epoch), evaluate_every=1, patience=None)
    with TemporaryDirectory() as place:
        folder = RunFolder(place, resume=False, force=False)
        with _RangeTest(
            setting.schedule(work, features, options),
            options,
            setting.rates(options),
            folder,
            {},
            None,
            LOSS,
            _nothing,
            _nothing,
            comparison=work.comparison(),
        ) as run:
            setting.backend.train(setting.model(options, features), run, setting.device)
            rows = run.rows
    if not rows:
        raise WeightError(f"the loss is not finite, even with a learning rate of {LOWEST}. Check the first weights.")
    suggestion = suggest_rate(rows)
    setting.tell(
        f"learning rate {suggestion:.2e}: a tenth of the rate of the lowest loss, {suggestion * BELOW:.2e}, of "
        f"{len(rows)} steps from {LOWEST:g} to {rows[-1]['learning_rate']:.2e}."
    )
    files: dict[str, str | bytes] = {RATES: "".join(f"{json.dumps(row)}\n" for row in rows)}
    if can_plot():
        files[RATE_PLOT] = rate_plot(rows, suggestion)
    return replace(training, learning_rate=suggestion), files


def suggest_rate(rows: Rows) -> float:
    """The learning rate that the rows of a range test suggest, to two digits."""
    lowest = min(rows[SKIPPED:] or rows, key=lambda row: float(row["smoothed_loss"]))
    return float(f"{lowest['learning_rate'] / BELOW:.1e}")


class _RangeTest(Run):
    """A run whose rate rises, which is neither judged nor saved; its rows are of single steps."""

    @property
    def steps(self) -> int:
        """The number of the last step, and one."""
        return min(STEPS, self.schedule.steps)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        factor: float = (HIGHEST / LOWEST) ** (step / max(self.steps - 1, 1))
        return LOWEST * factor

    def step_done(self, step: int, loss: float, examples: int, tokens: int) -> None:
        """Counts a step; the test ends with a loss that is too high, or not finite."""
        if not math.isfinite(loss):
            self.has_stopped = True
            return
        super().step_done(step, loss, examples, tokens)
        before = self.rows[-1]["smoothed_loss"] * (1 - KEPT**step) if self.rows else 0.0
        smoothed = (KEPT * before + (1 - KEPT) * loss) / (1 - KEPT ** (step + 1))  # corrected as Adam's means are
        self.rows.append({"step": step + 1, "learning_rate": self.rate(step), "loss": loss, "smoothed_loss": smoothed})
        lowest = min(float(row["smoothed_loss"]) for row in self.rows)
        self.has_stopped = smoothed > DIVERGED * lowest

    def finish_interval(self, step: int, write_state: Callable[[Path], None], agree: Any = None) -> bool:
        """Does nothing; tells whether the test ends."""
        self.start_clock()
        return self.has_stopped


def _nothing(_: Any) -> None:
    pass
