"""A run of pretraining: what it has to tell, and where the corpus goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from deberta_dual.finetuning.run import Run
from deberta_dual.pretraining.schedule import CorpusSchedule, MaskedPiece
from deberta_dual.pretraining.training import PretrainingOptions

PARTS = ("mlm_loss", "rtd_loss")


class PretrainingRun(Run):
    """A `Run` whose last model is the one that is kept.

    Args:
        schedule: the steps.
        chosen: how the models are pretrained.
        flops: operations of a step, for the share of the machine that is used.
        peak: operations a second of a large product on this machine; None where it was not measured.
        *arguments: of a `Run`, from `rates` on.
        **options: likewise.

    Attributes:
        chosen: how the models are pretrained.
    """

    schedule: CorpusSchedule  # type: ignore[assignment]  # it has what a run asks of one

    def __init__(
        self,
        schedule: CorpusSchedule,
        chosen: PretrainingOptions,
        flops: int,
        peak: Callable[[], float | None],
        *arguments: Any,
        **options: Any,
    ) -> None:
        self.chosen, self._flops, self._peak = chosen, flops, peak
        self._steps, self._parts = 0, dict.fromkeys(PARTS, 0.0)
        super().__init__(schedule, chosen.training(), *arguments, **options)  # type: ignore[arg-type]

    def masked_pieces(self, step: int, process: int = 0, processes: int = 1) -> Iterator[MaskedPiece]:
        """What a process learns from in a step."""
        return self.schedule.pieces(step, process, processes)

    def losses_done(self, step: int, losses: Mapping[str, float], tokens: int) -> None:
        """Counts a step by its losses, of `PARTS`; see `Run.step_done`."""
        weights = {"mlm_loss": 1.0, "rtd_loss": self.chosen.rtd_weight}
        self._steps += 1
        for name, loss in losses.items():
            self._parts[name] += loss
        total = sum(weights[name] * loss for name, loss in losses.items())
        self.step_done(step, total, self.schedule.examples(step), tokens)

    def row(self, step: int) -> dict[str, Any]:
        """See `Run.row`; with the means of the losses, and the share of the machine's operations that were of use."""
        found = super().row(step)
        del found["epoch"]
        seconds = self._seconds
        if len([name for name in PARTS if self._parts[name]]) > 1:
            found |= {name: loss / max(self._steps, 1) for name, loss in self._parts.items()}
        peak = self._peak()
        if peak and seconds:
            found["flop_utilisation"] = self._flops * self._steps / seconds / peak
        self._steps, self._parts = 0, dict.fromkeys(PARTS, 0.0)
        return found

    def progress(self, step: int) -> dict[str, Any]:
        """See `Run.progress`; with the place in the corpus."""
        return {**super().progress(step), "corpus": self.schedule.state(step)}
