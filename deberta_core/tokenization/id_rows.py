"""The methods of a tokenizer that work on rows of ids, without a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deberta_core.arguments import id_rows, ids_of
from deberta_core.errors import InputError
from deberta_core.tokenization.cutting import Ids
from deberta_core.tokenization.lengths import length_rule, windows
from deberta_core.tokenization.text_encoder import special_mask, token_types

if TYPE_CHECKING:
    from deberta_core.tokenization.batch_encoding import BatchEncoding
    from deberta_core.tokenization.tokenizer import Tokenizer


def prepare_for_model(self: Tokenizer, ids: Any, pair_ids: Any = None, **options: Any) -> BatchEncoding:
    """Makes model inputs of the ids of one or two texts, which have no special tokens; the options are a call's."""
    return self(Ids(ids_of(ids, "ids")), None if pair_ids is None else Ids(ids_of(pair_ids, "pair_ids")), **options)


def truncate_sequences(
    self: Tokenizer,
    ids: Any,
    pair_ids: Any = None,
    num_tokens_to_remove: int = 0,
    truncation_strategy: bool | str = "longest_first",
    stride: int = 0,
) -> tuple[list[int], list[int] | None, list[int]]:
    """Cuts the ids of one or two texts without special tokens.

    Args:
        self: gives the side.
        ids: of the first text.
        pair_ids: of the second text.
        num_tokens_to_remove: how many ids go.
        truncation_strategy: as `truncation` of a call.
        stride: how many of the ids that stay are given with those that went.

    Returns:
        the ids that stay of the first and of the second text; and what went, after `stride` ids before it, empty where
        both texts were cut.

    Raises:
        InputError: as many ids cannot be taken away.
    """
    first, second = id_rows(ids, pair_ids)
    if num_tokens_to_remove <= 0:
        return first, second, []
    left = len(first) + len(second or ()) - num_tokens_to_remove
    if left < 1:
        raise InputError(f"num_tokens_to_remove={num_tokens_to_remove} leaves no token. Take away fewer.")
    rule = length_rule(self, False, truncation_strategy, left, None, None)
    whole = slice(0, len(first)), None if second is None else slice(0, len(second))
    kept, kept_b = windows(whole, 0, rule)[0]
    cut_first, cut_second = kept != whole[0], kept_b != whole[1]
    side = self.truncation_side
    gone = (
        []
        if cut_first == cut_second
        else _overflow(first, kept, stride, side)
        if cut_first or second is None or kept_b is None
        else _overflow(second, kept_b, stride, side)
    )
    return first[kept], None if second is None or kept_b is None else second[kept_b], gone


def build_inputs_with_special_tokens(
    self: Tokenizer, token_ids_0: list[int], token_ids_1: list[int] | None = None
) -> list[int]:
    """Puts [CLS] before and [SEP] after the ids of one or two texts."""
    return self._encoder.with_special(*id_rows(token_ids_0, token_ids_1))


def create_token_type_ids_from_sequences(
    self: Tokenizer, token_ids_0: list[int], token_ids_1: list[int] | None = None
) -> list[int]:
    """Gives 0 for [CLS], the first text and its [SEP], 1 for the second text and its [SEP]."""
    return token_types(*id_rows(token_ids_0, token_ids_1))


def get_special_tokens_mask(
    self: Tokenizer,
    token_ids_0: list[int],
    token_ids_1: list[int] | None = None,
    already_has_special_tokens: bool = False,
) -> list[int]:
    """Gives 1 for special tokens, 0 for others, in the row built of the ids, or in a row that is built already."""
    if not already_has_special_tokens:
        return special_mask(*id_rows(token_ids_0, token_ids_1))
    special = set(self.all_special_ids)
    return [int(index in special) for index in ids_of(token_ids_0, "token_ids_0")]


def num_special_tokens_to_add(self: Tokenizer, pair: bool = False) -> int:
    """Number of special tokens in a row of one text, or of two."""
    return 3 if pair else 2


def _overflow(ids: list[int], kept: slice, stride: int, side: str) -> list[int]:
    return ids[max(kept.stop - stride, 0) :] if side == "right" else ids[: kept.start + stride]
