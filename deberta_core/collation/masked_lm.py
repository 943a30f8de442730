"""Collators for masked language modelling: by token, by whole word, by n-gram of words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation.columns import check_rows, collect_columns
from deberta_core.collation.masking import check_shares, choose_places, cut_into_ngrams, mask_budget, replace_tokens
from deberta_core.collation.padding import DataCollatorWithPadding
from deberta_core.collation.words import Word, WordStarts, words_by_ids, words_by_starts
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.tensors import worker_seed

_NO_WORD = -1  # in an array of word_ids


@dataclass
class DataCollatorForLanguageModeling(DataCollatorWithPadding):
    """Pads examples and masks tokens anew in every call.

    Each token is chosen on its own with `mlm_probability`, so that the number of chosen ones is binomial. Special
    tokens, [UNK] among them, and padding are never chosen. Of the chosen tokens 80 % become [MASK], 10 % a random
    ordinary token, and 10 % stay; `labels` holds the original id at them and -100 elsewhere. Labels in the examples are
    replaced.

    Args:
        tokenizer: gives the padding and special tokens.
        mlm: True; there is no other kind of language model here.
        mlm_probability: in (0, 1].
        mask_replace_prob: share of [MASK] among the chosen tokens.
        random_replace_prob: share of random tokens among them; the rest stays.
        seed: makes the masks of the first, second, ... call the same in every run. In a worker process of PyTorch's
            DataLoader the worker's own seed joins it, since otherwise all workers would draw the same and every epoch
            would repeat the first: there, set `torch.manual_seed`, too. None: different in every run.

    Raises:
        InputError: a probability or the seed has a value it cannot have, or the tokenizer has no [MASK].
    """

    _: KW_ONLY
    mlm: bool = True
    mlm_probability: float = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.mlm is not True:
            raise InputError(f"mlm={self.mlm!r}: DeBERTa is a masked language model. Leave mlm out.")
        if not 0 < self.mlm_probability <= 1:
            raise InputError(f"mlm_probability={self.mlm_probability!r} is not in (0, 1]. The usual value is 0.15.")
        check_shares(self.mask_replace_prob, self.random_replace_prob)
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0):
            raise InputError(f"seed={self.seed!r} is not an int of 0 or more. Give one, or None.")
        if self.tokenizer.mask_token_id is None:
            raise InputError("The tokenizer has no mask_token. Load it with mask_token=...")
        self._special = np.asarray(self.tokenizer.all_special_ids)
        self._ordinary = np.setdiff1d(np.arange(self.tokenizer.vocab_size), self._special)
        self._process: tuple[int, int | None] | None = None

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Makes a batch of NumPy arrays, `labels` [B, L]; see a call."""
        columns = collect_columns(features)
        columns.pop("labels", None)
        if "word_ids" in columns:
            check_rows("word_ids", columns["word_ids"], columns["input_ids"], "Give those of the same encoding.")
            columns["word_ids"] = [[_NO_WORD if word is None else word for word in row] for row in columns["word_ids"]]
        batch = self.pad(columns, {"word_ids": _NO_WORD})
        ids, word_ids = batch["input_ids"], batch.pop("word_ids", None)
        special = np.isin(ids, self._special) | (batch["attention_mask"] == 0)
        special |= batch.pop("special_tokens_mask", np.zeros_like(ids)) != 0
        random = self._generator()
        chosen = self.choose(ids, ~special, word_ids, random)
        shares = (self.mask_replace_prob, self.random_replace_prob)
        masked = replace_tokens(ids, chosen, self.tokenizer.mask_token_id, self._ordinary, *shares, random)
        return batch | {"input_ids": masked, "labels": np.where(chosen, ids, IGNORED_LABEL)}

    def choose(
        self,
        ids: NDArray[np.int64],
        maskable: NDArray[np.bool_],
        word_ids: NDArray[np.int64] | None,
        random: np.random.Generator,
    ) -> NDArray[np.bool_]:
        """Chooses the tokens to predict.

        Args:
            ids: [B, L].
            maskable: whether a token may be chosen, [B, L].
            word_ids: the word of each token, -1 for none, [B, L]; None: the tokenizer tells where words begin.
            random: the source of chance.
        """
        return maskable & (random.random(ids.shape) < self.mlm_probability)

    def _generator(self) -> np.random.Generator:
        # A process that was forked has a copy of the parent's generator, which would draw the same as its siblings'.
        process = (os.getpid(), worker_seed())
        if self._process != process:
            seeds = [seed for seed in (self.seed, process[1]) if seed is not None]
            self._random = np.random.default_rng(seeds if self.seed is not None else None)
            self._process = process
        return self._random


@dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """Pads examples and masks whole words anew in every call.

    A word is what spaces separate; or, where the examples hold `word_ids`, tokens side by side with the same number. A
    run of more than 16 tokens is no word but text written without spaces, and counts token by token.

    In each example words are taken in random order until a budget of tokens is reached: `mlm_probability` times the
    number of tokens that may be masked, rounded, at least 1. The last word may exceed the budget by less than its
    length. What takes a token's place is drawn for each token on its own. The arguments are those of
    `DataCollatorForLanguageModeling`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._starts = WordStarts(self.tokenizer)

    def choose(
        self,
        ids: NDArray[np.int64],
        maskable: NDArray[np.bool_],
        word_ids: NDArray[np.int64] | None,
        random: np.random.Generator,
    ) -> NDArray[np.bool_]:
        """Chooses whole words; see `DataCollatorForLanguageModeling.choose`."""
        chosen = np.zeros_like(maskable)
        for row, free in enumerate(maskable):
            stretches = (
                words_by_starts(ids[row].tolist(), free.tolist(), self._starts)
                if word_ids is None
                else words_by_ids(word_ids[row].tolist(), free.tolist())
            )
            ngrams = [ngram for words in stretches for ngram in self.cut(words, random)]
            chosen[row, choose_places(ngrams, mask_budget(int(free.sum()), self.mlm_probability), random)] = True
        return chosen

    def cut(self, words: list[Word], random: np.random.Generator) -> list[list[Word]]:
        """Cuts a stretch of words into what is masked together."""
        return [[word] for word in words]


@dataclass
class DataCollatorForNGramMask(DataCollatorForWholeWordMask):
    """Pads examples and masks runs of one to `max_gram` whole words anew in every call, as DeBERTa was pretrained.

    A run of n words has a probability proportional to 1/n; with 3 at most, 6/11, 3/11 and 2/11. A run does not go
    beyond a special token. Runs may touch. The budget, and what is a word, are as in `DataCollatorForWholeWordMask`; a
    run ends where the budget is reached.

    Args:
        max_gram: the most words in a run.

    Raises:
        InputError: as `DataCollatorForLanguageModeling`, or `max_gram` is no positive int.
    """

    _: KW_ONLY
    max_gram: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.max_gram, bool) or not isinstance(self.max_gram, int) or self.max_gram < 1:
            raise InputError(f"max_gram={self.max_gram!r} is not a positive int. The paper's value is 3.")

    def cut(self, words: list[Word], random: np.random.Generator) -> list[list[Word]]:
        """Cuts a stretch of words into n-grams."""
        return cut_into_ngrams(words, self.max_gram, random)
