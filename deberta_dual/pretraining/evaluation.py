"""How good a model in pretraining is: on held-out text, with the same masks and replacements every time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from deberta_core.inputs import IGNORED_LABEL
from deberta_core.reference.arrays import log_softmax
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.evaluation.classes import Metrics, f1_of

_ROWS = 64  # of logits over the vocabulary, computed on at once


class PretrainingJudge:
    """Judges the masked LM, and the discriminator where there is one.

    Args:
        batches: of held-out text: masked `input_ids [B, L]`, `attention_mask`, and `labels [B, L]`, the true ids where
            masked and -100 elsewhere.
        generator: the masked LM.
        discriminator: of replaced tokens; None under the objective "mlm".
        drawn_ids: the ids that a replacement may have.
        temperature: of the distribution that replacements are drawn from.
        seed: of the replacements.
    """

    def __init__(
        self,
        batches: Iterable[Arrays],
        generator: ArrayModel,
        discriminator: ArrayModel | None,
        drawn_ids: NDArray[np.int64],
        temperature: float,
        seed: int,
    ) -> None:
        self._batches, self._generator, self._discriminator = list(batches), generator, discriminator
        self._drawn_ids, self._temperature, self._seed = drawn_ids, temperature, seed

    def __call__(self) -> Metrics:
        """Means over all tokens that count.

        Returns:
            "loss" and "accuracy" of the masked tokens; of a discriminator also "rtd_loss", and "rtd_precision",
            "rtd_recall" and "rtd_f1" of the replaced tokens.
        """
        masked, found = np.zeros(3), np.zeros(5)
        for number, batch in enumerate(self._batches):
            labels = batch["labels"]
            places = np.argwhere(labels != IGNORED_LABEL)
            true = labels[places[:, 0], places[:, 1]]
            inputs = {name: array for name, array in batch.items() if name != "labels"}
            logits = self._generator.run(inputs, places)["logits"]
            random = np.random.default_rng((self._seed, number))
            losses, right, drawn = self._read(logits, true, random)
            masked += losses, right, len(true)
            if self._discriminator is not None:
                ids = inputs["input_ids"].copy()
                ids[places[:, 0], places[:, 1]] = drawn
                replaced = np.zeros(labels.shape, dtype=bool)
                replaced[places[:, 0], places[:, 1]] = drawn != true
                scores = self._discriminator.run({**inputs, "input_ids": ids}, None)["logits"].astype(np.float64)
                found += _counts(scores, replaced, real_tokens(inputs["attention_mask"]))
        total = max(masked[2], 1.0)
        result: Metrics = {"loss": float(masked[0] / total), "accuracy": float(masked[1] / total)}
        return result | (_scores(found) if self._discriminator is not None else {})

    def _read(
        self, logits: NDArray[np.float32], true: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[float, int, NDArray[np.int64]]:
        """The sum of losses, the number of right tokens, and a replacement for each."""
        losses, right, drawn = 0.0, 0, []
        for start in range(0, len(true), _ROWS):
            part = logits[start : start + _ROWS].astype(np.float64)
            own = true[start : start + _ROWS]
            losses -= float(log_softmax(part)[np.arange(len(own)), own].sum())
            right += int((part.argmax(axis=1) == own).sum())
            open_ids = part[:, self._drawn_ids] / self._temperature
            drawn.append(self._drawn_ids[(open_ids + random.gumbel(size=open_ids.shape)).argmax(axis=1)])
        return losses, right, np.concatenate(drawn) if drawn else np.zeros(0, dtype=np.int64)


def real_tokens(mask: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens are no padding `[B, L]`, of a mask `[B, L]` or, of packed documents, `[B, L, L]`."""
    seen: NDArray[np.bool_] = (mask if mask.ndim == 2 else mask.diagonal(axis1=1, axis2=2)) != 0
    return seen


def _counts(
    logits: NDArray[np.float64], replaced: NDArray[np.bool_], tokens: NDArray[np.bool_]
) -> tuple[float, int, int, int, int]:
    """Sums over real tokens: losses, tokens, replaced ones that were found, found ones, replaced ones."""
    losses = np.logaddexp(0, np.where(replaced, -logits, logits))  # BCE with logits
    found = (logits > 0) & tokens
    replaced = replaced & tokens
    return (
        float(losses[tokens].sum()),
        int(tokens.sum()),
        int((found & replaced).sum()),
        int(found.sum()),
        int(replaced.sum()),
    )


def _scores(counts: NDArray[np.float64]) -> Metrics:
    losses, tokens, both, found, replaced = counts.tolist()
    return {
        "rtd_loss": losses / max(tokens, 1.0),
        "rtd_precision": both / max(found, 1.0),
        "rtd_recall": both / max(replaced, 1.0),
        "rtd_f1": f1_of(both, found, replaced),
    }
