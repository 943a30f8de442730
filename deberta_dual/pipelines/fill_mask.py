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
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.scores import best, softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class FillMaskOptions(TextOptions):
    """What can be chosen.

    Args:
        top_k: how many tokens for a mask.
        targets: what alone is chosen from, each of one token: a list, or one text with commas; None: all. A target is
            an entry of the vocabulary, or else a word as it stands after a space.
    """

    top_k: int = 5
    targets: Any = None

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        check_count("top_k", self.top_k)
        if self.targets is not None:
            object.__setattr__(self, "targets", read_names("targets", self.targets, repeats=True))


class FillMaskPipeline(Pipeline):
    """Inputs: a text with one or more mask tokens. Results: a list of {"score", "token", "token_str", "sequence"}.

    Scores are probabilities in the whole vocabulary, also where there are targets. `sequence` is the text with this
    mask filled in. For a text with several masks the result is a list of such lists; each mask is predicted by itself.
    """

    task = "fill-mask"
    model_task = "masked_lm"
    nested = "tokenizer_kwargs"
    options_class = FillMaskOptions

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one text, or many; see `Pipeline.__call__`. A list of one text gives its result alone."""
        results = super().__call__(inputs, progress=progress, **options)
        return results[0] if isinstance(inputs, list) and len(inputs) == 1 else results

    def check_model(self, options: FillMaskOptions) -> None:
        """Raises InputError if the tokenizer has no mask, or a target is not one token."""
        super().check_model(options)
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"{self.task} needs a mask, but the tokenizer has no mask_token. Load it with one.")
        self._ids(options.targets or ())

    def prepare(self, example: Any, options: FillMaskOptions) -> Prepared:
        """Makes one row, with the places of the masks."""
        text = read_texts(example, ["text"], may_be_empty=True)["text"]
        inputs = self.tokenize(text, None, options)
        mask = self.tokenizer.mask_token
        places = tuple(k for k, token in enumerate(inputs["input_ids"]) if token == self.tokenizer.mask_token_id)
        parts = text.split(mask)
        if len(parts) == 1:
            raise InputError(f"the text holds no {mask}: {text!r:.60}. Put {mask} where a word is to be found.")
        if len(places) < len(parts) - 1:
            raise InputError(f"a {mask} stands beyond the max_length={self.limit(options)} tokens. Shorten the text.")
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
        mask = str(self.tokenizer.mask_token)
        before, after = mask.join(parts[: place + 1]), mask.join(parts[place + 1 :])
        return {"score": score, "token": token, "token_str": word, "sequence": before + word.strip() + after}

    def _ids(self, targets: Sequence[str]) -> list[int]:
        """The ids of entries of the vocabulary, or else of words as they stand after a space; each id once."""
        found: dict[int, None] = {}
        unknown = self.tokenizer.unk_token_id
        for target in targets:
            ids = [self.tokenizer.convert_tokens_to_ids(target)]
            is_entry = ids[0] not in (None, unknown) or target == self.tokenizer.unk_token
            if not is_entry:
                ids = self.tokenizer.encode(f" {target}", add_special_tokens=False)
            if len(ids) != 1 or (ids[0] == unknown and not is_entry):
                raise InputError(f"targets has {target!r}, which is {len(ids)} tokens. Give words of one token.")
            found[ids[0]] = None
        return list(found)
