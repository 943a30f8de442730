"""What stands behind a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deberta_core.errors import InputError
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, read_names, read_texts
from deberta_dual.pipelines.scores import best, softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class FillMaskOptions:
    """What can be chosen.

    Args:
        top_k: how many tokens for a mask.
        targets: the only words to choose from, each of one token: a list, or one text with commas; None: all.
    """

    top_k: int = 5
    targets: Any = None

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k)
        if self.targets is not None:
            object.__setattr__(self, "targets", read_names("targets", self.targets))


class FillMaskPipeline(Pipeline):
    """Inputs: a text with one or more mask tokens. Results: a list of {"score", "token", "token_str", "sequence"}.

    Scores are probabilities in the whole vocabulary, also where there are targets. `sequence` is the text with this
    mask filled in. For a text with several masks the result is a list of such lists; each mask is predicted by itself.
    """

    name = "fill-mask"
    task = "masked_lm"
    options_class = FillMaskOptions

    def check_model(self, options: FillMaskOptions) -> None:
        """Raises InputError if the tokenizer has no mask, or a target is not one token."""
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"{self.name} needs a mask, but the tokenizer has no mask_token. Load it with one.")
        self._ids(options.targets or ())

    def prepare(self, example: Any, options: FillMaskOptions) -> Prepared:
        """Makes one row, with the places of the masks."""
        text = read_texts(example, ["text"])["text"]
        inputs = self.tokenize(text)
        mask = self.tokenizer.mask_token
        places = tuple(k for k, token in enumerate(inputs["input_ids"]) if token == self.tokenizer.mask_token_id)
        parts = text.split(mask)
        if len(parts) == 1:
            raise InputError(f"the text holds no {mask}: {text!r:.60}. Put {mask} where a word is to be found.")
        if len(places) < len(parts) - 1:
            raise InputError(f"a {mask} stands beyond the max_length={self.max_length} tokens. Shorten the text.")
        return Prepared([ModelRow(inputs, places)], parts)

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: FillMaskOptions) -> Any:
        """Chooses the tokens: for each mask their ids and probabilities."""
        ids = np.array(self._ids(options.targets)) if options.targets else None
        found = []
        for logits in outputs["logits"]:  # [V] of each mask
            scores = softmax(logits)
            among = scores if ids is None else scores[ids]
            # A row of scores is long: the best few are found before they are sorted.
            few = np.argpartition(-among, min(options.top_k, len(among)) - 1)[: options.top_k]
            few = few[best(among[few], None)]
            found.append([(int(k if ids is None else ids[k]), float(among[k])) for k in few])
        return found

    def finish(self, prepared: Prepared, options: FillMaskOptions) -> Any:
        """Puts the tokens into the text."""
        found = [
            [self._result(prepared.texts, place, token, score) for token, score in tokens]
            for place, tokens in enumerate(prepared.values[0])
        ]
        return found[0] if len(found) == 1 else found

    def _result(self, parts: Sequence[str], place: int, token: int, score: float) -> dict[str, Any]:
        word = self.tokenizer.decode([token])
        mask = self.tokenizer.mask_token
        before, after = mask.join(parts[: place + 1]), mask.join(parts[place + 1 :])
        return {"score": score, "token": token, "token_str": word, "sequence": before + word.strip() + after}

    def _ids(self, targets: Sequence[str]) -> list[int]:
        """The ids of words as they stand after a space, or else of tokens as they stand in the vocabulary."""
        found = []
        for target in targets:
            ids = self.tokenizer.encode(f" {target}", add_special_tokens=False)
            exact = self.tokenizer.convert_tokens_to_ids(target)
            if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
                found.append(ids[0])
            elif exact is not None and exact != self.tokenizer.unk_token_id:
                found.append(exact)
            else:
                raise InputError(f"targets has {target!r}, which is {len(ids)} tokens. Give words of one token.")
        return found
