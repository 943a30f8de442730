"""What stands behind a mask; and of a text without one, how well the model foresees it."""

from __future__ import annotations

from typing import Any

import numpy as np

from deberta_core.errors import InputError
from deberta_core.reference.arrays import log_softmax
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import read_texts
from deberta_dual.pipelines.fill_mask import FillMaskOptions, FillMaskPipeline
from deberta_dual.pipelines.scores import perplexity


class HiddenTokens(tuple[int, ...]):
    """The tokens of a text that are masked one after the other, one in each row."""

    __slots__ = ()


class MaskedLMPipeline(FillMaskPipeline):
    """Inputs: a text. With a mask, the results are those of fill-mask; without one, {"perplexity"}.

    That is the pseudo-perplexity: each token is masked in turn, and the result is the exponential of the mean of minus
    the logarithms of the probabilities that the model gives to them. Special tokens, [UNK] among them, are not counted.
    In a text that is too long a token is seen in the middle of the tokens around it.

    Source:
        Salazar et al. (2020), "Masked Language Model Scoring", equation 3.
    """

    task = "masked-lm"
    in_rows = True

    def prepare(self, example: Any, options: FillMaskOptions) -> Prepared:
        """Makes one row, or without a mask one for each token."""
        text = read_texts(example, ["text"], may_be_empty=True)["text"]
        if self.tokenizer.mask_token in text:
            return super().prepare(example, options)
        tokenizer = self.tokenizer
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        places = [place for place, token in enumerate(ids) if token not in tokenizer.all_special_ids]
        if not places:
            raise InputError(
                f"the text has no token to mask: {text!r:.60}. Give one of words that the tokenizer knows."
            )
        size = self.limit(options) - tokenizer.num_special_tokens_to_add()
        rows = []
        for place in places:
            start = max(0, min(place - size // 2, len(ids) - size))
            own = ids[start : start + size]
            row = tokenizer.build_inputs_with_special_tokens(own)
            masked = place - start + 1  # behind [CLS]
            row[masked] = tokenizer.mask_token_id
            inputs = {
                "input_ids": row,
                "token_type_ids": tokenizer.create_token_type_ids_from_sequences(own),
                "attention_mask": [1] * len(row),
            }
            rows.append(ModelRow(inputs, (masked,)))
        return Prepared(rows, HiddenTokens(ids[place] for place in places))

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: FillMaskOptions) -> Any:
        """Chooses tokens for the masks, or keeps the log-probability of the one that was masked."""
        if not isinstance(prepared.texts, HiddenTokens):
            return super().reduce(prepared, row, outputs, options)
        return float(log_softmax(outputs["logits"][0].astype(np.float64))[prepared.texts[row]])

    def finish(self, prepared: Prepared, options: FillMaskOptions) -> Any:
        """Puts tokens into the text, or gives the perplexity."""
        if not isinstance(prepared.texts, HiddenTokens):
            return super().finish(prepared, options)
        return {"perplexity": perplexity(-float(np.mean(prepared.values)))}
