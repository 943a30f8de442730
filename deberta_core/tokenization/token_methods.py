"""The methods of a tokenizer about its tokens: from texts, to ids and back, and adding them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from deberta_core.arguments import items_of
from deberta_core.errors import InputError
from deberta_core.names.rows import own_keywords
from deberta_core.tensors import to_list
from deberta_core.tokenization.cutting import Ids
from deberta_core.tokenization.text_encoder import around, check_text, tokens_of
from deberta_core.tokenization.vocabulary import clean_up, join_apart

# Options of a call that change the tokens of a text.
_CUTTING = ("is_split_into_words", "split_special_tokens", "add_prefix_space")

if TYPE_CHECKING:
    from deberta_core.tokenization.batch_encoding import BatchEncoding
    from deberta_core.tokenization.tokenizer import Tokenizer


def encode(self: Tokenizer, text: Any, text_pair: Any = None, **options: Any) -> Any:
    """Makes the ids only.

    Args:
        self: the tokenizer.
        text: a text; or a list of its tokens, or of its ids.
        text_pair: the second text, likewise.
        **options: those of a call.

    Raises:
        InputError: an entry of a list is a text and no token; or as a call.
    """
    if not options.get("is_split_into_words"):
        text, text_pair = _tokenized(self, "text", text), _tokenized(self, "text_pair", text_pair)
    return self(text, text_pair, **options)["input_ids"]


def encode_plus(self: Tokenizer, text: Any, text_pair: Any = None, stride: int = 0, **options: Any) -> BatchEncoding:
    """Makes the inputs of one text or pair, as code for transformers 4 asks for them.

    Args:
        self: the tokenizer. If it is not `is_fast`, `return_overflowing_tokens` gives no windows, but one row, and
            `overflowing_tokens`, the ids it lacks after `stride` ids before them (none where both texts of a pair are
            cut), and `num_truncated_tokens`, how many it lacks.
        text: a text; or a list of its tokens, or of its ids.
        text_pair: the second text, likewise.
        stride: as in a call.
        **options: those of a call.

    Raises:
        InputError: as `encode`.
    """
    if not options.get("is_split_into_words"):
        text, text_pair = _tokenized(self, "text", text), _tokenized(self, "text_pair", text_pair)
    if self.is_fast or not options.pop("return_overflowing_tokens", False):
        return self(text, text_pair, stride=stride, **options)
    encoding: BatchEncoding = self(text, text_pair, **options)
    cut = {name: value for name, value in options.items() if name in _CUTTING}
    cut |= {"add_special_tokens": False, "verbose": False}
    ids, pair_ids = self(text, **cut)["input_ids"], None if text_pair is None else self(text_pair, **cut)["input_ids"]
    special = 0 if options.get("add_special_tokens") is False else self.num_special_tokens_to_add(text_pair is not None)
    missing = len(ids) + len(pair_ids or ()) + special - sum(encoding[0].attention_mask)
    strategy = options.get("truncation") or True
    gone = self.truncate_sequences(ids, pair_ids, missing, strategy, stride)[2]
    encoding.update(overflowing_tokens=gone, num_truncated_tokens=missing)
    return encoding


def tokenize(
    self: Tokenizer,
    text: str,
    pair: str | None = None,
    add_special_tokens: bool = False,
    split_special_tokens: bool | None = None,
    **others: Any,
) -> list[str]:
    """Cuts one or two texts into tokens.

    Args:
        self: the tokenizer.
        text: the text.
        pair: the second text.
        add_special_tokens: whether [CLS] and [SEP] are among them.
        split_special_tokens: as in a call.
        **others: `add_prefix_space` and `verbose`, as in a call.
    """
    others = own_keywords({}, others, ("add_prefix_space", "verbose"))
    encoder = self._other_encoder(split_special_tokens, others.get("add_prefix_space"))
    first, second = encoder.tokens(check_text(text, "text")), None
    if pair is not None:
        second = encoder.tokens(check_text(pair, "pair"))
    if not add_special_tokens:
        return first + (second or [])
    return around(first, second, *map(self._vocabulary.token, encoder.with_special([], None)))


def convert_tokens_to_ids(self: Tokenizer, tokens: str | Iterable[str]) -> Any:
    """Gives the id of a token, or the list of ids of several; what is not in the vocabulary gets [UNK]'s id."""
    if isinstance(tokens, str):
        return self._vocabulary.token_id(check_text(tokens, "tokens"))
    return [self._vocabulary.token_id(token) for token in tokens_of(tokens, "tokens")]


def convert_ids_to_tokens(self: Tokenizer, ids: Any, skip_special_tokens: bool = False) -> Any:
    """Gives the token of an id, or the list of tokens of a list or array of ids.

    Raises:
        InputError: an id is in neither the vocabulary nor the added tokens.
    """
    ids = to_list(ids)
    if not isinstance(ids, list | tuple):
        return self._vocabulary.token(ids)
    skipped = set(self.all_special_tokens) if skip_special_tokens else set()
    return [token for token in map(self._vocabulary.token, map(to_list, ids)) if token not in skipped]


def decode(
    self: Tokenizer,
    token_ids: Any,
    skip_special_tokens: bool = False,
    clean_up_tokenization_spaces: bool | None = None,
    spaces_between_special_tokens: bool = True,
) -> str:
    """Turns ids back into text.

    Args:
        self: the tokenizer.
        token_ids: an id, or a list or array of ids.
        skip_special_tokens: leaves the special tokens out.
        clean_up_tokenization_spaces: removes the space before punctuation; None: as the tokenizer is set.
        spaces_between_special_tokens: False puts no spaces around added tokens, where the class does.

    Raises:
        InputError: an id is in neither the vocabulary nor the added tokens, or there are several rows.
    """
    ids = to_list(token_ids)
    if isinstance(ids, list | tuple) and any(isinstance(index, list | tuple) for index in ids):
        raise InputError("decode takes one row of ids, but got a batch. Use batch_decode.")
    tokens = self.convert_ids_to_tokens(ids if isinstance(ids, list | tuple) else [ids], skip_special_tokens)
    apart = self._vocabulary.apart if self.spaces_around_added_tokens else frozenset()
    text = join_apart(tokens, apart, self.convert_tokens_to_string, " " if spaces_between_special_tokens else "")
    wanted = clean_up_tokenization_spaces
    return clean_up(text) if (self.clean_up_tokenization_spaces if wanted is None else wanted) else text


def batch_decode(self: Tokenizer, sequences: Any, *options: Any, **named: Any) -> list[str]:
    """Decodes every row of ids; the options are those of `decode`, in its order."""
    return [self.decode(row, *options, **named) for row in items_of(sequences, "sequences", "rows of ids")]


def add_tokens(self: Tokenizer, new_tokens: Any, special_tokens: bool = False) -> int:
    """Adds tokens after all others, and cuts texts at them from now on.

    Not to be called while another thread uses the tokenizer. A model's embeddings must grow with `len(tokenizer)`.

    Args:
        self: the tokenizer.
        new_tokens: a str or AddedToken, ours or of `tokenizers`, or several; an empty one is none. What is a token
            already keeps its id.
        special_tokens: whether `skip_special_tokens` leaves them out when decoding.

    Returns:
        How many of them are new.

    Raises:
        TokenizationError: one of them is no token.
    """
    before, one = len(self), isinstance(new_tokens, str) or hasattr(new_tokens, "content")
    new = [new_tokens] if one else items_of(new_tokens, "new_tokens", "tokens")
    new = [token for token in new if token != ""]
    self._set_vocabulary(self._vocabulary.with_tokens(new, special_tokens))
    return len(self) - before


def add_special_tokens(
    self: Tokenizer, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
) -> int:
    """Gives tokens a role, such as `sep_token`, adding them if need be; see `add_tokens`.

    Args:
        self: the tokenizer.
        special_tokens_dict: tokens by role; a list for "additional_special_tokens".
        replace_additional_special_tokens: whether those there are lose their role; they stay tokens.

    Returns:
        How many tokens are new.

    Raises:
        InputError: there is no such role.
    """
    before = len(self)
    self._set_vocabulary(self._vocabulary.with_roles(special_tokens_dict, replace_additional_special_tokens))
    return len(self) - before


def _tokenized(self: Tokenizer, name: str, text: Any) -> Any:
    """The ids of a text that is given as a list of tokens or ids; anything else as it is."""
    text = to_list(text)
    if not isinstance(text, list | tuple) or not text:
        return text
    if all(type(index) is int for index in text):
        return Ids(text)
    if not all(isinstance(token, str) for token in text):
        return text
    for token in text:
        if any(map(str.isspace, token)) and token not in self._vocabulary.ids:
            raise InputError(
                f"{name} holds {token!r:.60}, which is no token: encode takes one text, or its tokens. Call the "
                f"tokenizer itself for a batch of texts, and for words with is_split_into_words=True."
            )
    return Ids(self.convert_tokens_to_ids(text))
