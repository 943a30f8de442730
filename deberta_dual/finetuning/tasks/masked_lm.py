"""Words behind masks: pretraining that goes on with texts of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation import DataCollatorForTokenClassification
from deberta_core.collation.masking import mask_budget, replace_tokens
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.reference.arrays import log_softmax
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import MODEL_ROW, FinetuneTask, at, entry
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.scores import perplexity

RECORD = "record"
MASKED, REPLACED_BY_MASK, REPLACED_AT_RANDOM = 0.15, 0.8, 0.1
EVALUATION_SEED = 0  # the masks of an evaluation are always the same


class MaskedTokens(NamedTuple):
    """What a model says of the masked tokens of a row.

    Attributes:
        record: the number of the row's record.
        losses: minus the log-probability of each token, `[M]`.
        right: whether the token is the most likely one, `[M]`.
    """

    record: int
    losses: NDArray[np.float64]
    right: NDArray[np.bool_]


class MaskedLM(FinetuneTask):
    """Records: {"text"}; of a plain file each line is one, and a row of its own.

    What is too long becomes several rows. Of each row 15 of 100 tokens are masked, at least one, others in every epoch:
    80 % become [MASK], 10 % another token, and 10 % stay. Special tokens, [UNK] among them, are never masked.
    """

    name = "masked-lm"
    task = "masked_lm"
    entries = ("text",)
    collator = DataCollatorForTokenClassification

    def __init__(self, tokenizer: Any, **settings: Any) -> None:
        super().__init__(tokenizer, **settings)
        if tokenizer.mask_token_id is None:
            raise InputError("masked-lm needs a mask, but the tokenizer has no mask_token. Load it with one.")
        self._special = np.array(tokenizer.all_special_ids)
        self._ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), self._special)

    @classmethod
    def check(cls, record: Record) -> None:
        """A text."""
        check_text("text", entry(record, "text"))

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """The text."""
        return [entry(record, "text")]

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes the rows of every text, without masks."""
        rows = []
        for number, record in enumerate(records):
            with at(record):
                encoding = self.tokenizer(
                    [entry(record, "text")], truncation=True, max_length=self.length, return_overflowing_tokens=True
                )
            for row in range(len(encoding["input_ids"])):
                rows.append({name: encoding[name][row] for name in self.tokenizer.model_input_names} | {RECORD: number})
        return rows

    def drawn(self, feature: Feature, seeds: Sequence[int]) -> Feature:
        """Masks tokens of a row; which ones is a function of the seeds alone."""
        random = np.random.default_rng(seeds)
        ids = np.array(feature["input_ids"])
        free = np.flatnonzero(~np.isin(ids, self._special))
        chosen = np.zeros(ids.shape, dtype=bool)
        chosen[random.permutation(free)[: mask_budget(len(free), MASKED)]] = True
        masked = replace_tokens(
            ids, chosen, self.tokenizer.mask_token_id, self._ordinary, REPLACED_BY_MASK, REPLACED_AT_RANDOM, random
        )
        inputs = {name: feature[name] for name in MODEL_ROW if name in feature}
        return inputs | {"input_ids": masked.tolist(), "labels": np.where(chosen, ids, IGNORED_LABEL).tolist()}

    def count(self, feature: Feature) -> int:
        """The masked tokens."""
        return sum(label != IGNORED_LABEL for label in feature["labels"])

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """The loss."""
        return "loss"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """What the model says of the masked tokens of every row, a list of `MaskedTokens`."""
        rows, labels = [], []
        for number, feature in enumerate(features):
            drawn = self.drawn(feature, (EVALUATION_SEED, number))
            places = tuple(place for place, label in enumerate(drawn["labels"]) if label != IGNORED_LABEL)
            rows.append(ModelRow({name: drawn[name] for name in MODEL_ROW if name in drawn}, places))
            labels.append(np.array([drawn["labels"][place] for place in places], dtype=np.int64))
        numbers = [number for number, row in enumerate(rows) if row.places]
        found = {}
        chosen = [rows[number] for number in numbers]
        for place, output in run_rows(model, chosen, self.batch_size, self.tokenizer.pad_token_id or 0):
            number = numbers[place]
            logits, own = output["logits"].astype(np.float64), labels[number]
            losses = -log_softmax(logits)[np.arange(len(own)), own]
            found[number] = MaskedTokens(features[number][RECORD], losses, logits.argmax(axis=1) == own)
        return [found[number] for number in numbers]

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Loss, perplexity and accuracy of all masked tokens."""
        if not answers:
            raise InputError("no text has a token to mask. Give texts of words that the tokenizer knows.")
        loss = float(np.concatenate([row.losses for row in answers]).mean())
        right = float(np.concatenate([row.right for row in answers]).mean())
        return {"loss": loss, "perplexity": perplexity(loss), "accuracy": right}


def text_losses(answers: Sequence[MaskedTokens], count: int) -> NDArray[np.float64]:
    """The mean loss of the masked tokens of each of `count` records; 0 where none was masked."""
    sums, numbers = np.zeros(count), np.zeros(count)
    for row in answers:
        sums[row.record] += row.losses.sum()
        numbers[row.record] += len(row.losses)
    return sums / np.maximum(numbers, 1)
