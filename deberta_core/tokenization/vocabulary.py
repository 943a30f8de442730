"""Ids and tokens of a tokenizer, its special tokens included, and the way back from ids to text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization.encoding import to_list
from deberta_core.tokenization.special_tokens import (
    SPECIAL_NAMES,
    AddedToken,
    AddedVocabulary,
    SpecialToken,
    SpecialTokenId,
)

# What decoding cleans up, in this order: spaces that English does not write.
_SPACES = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't"}
_SPACES |= {" 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"}


class Vocabulary(ABC):
    """The tokens of a tokenizer: those of its model, and the added ones.

    A subclass sets up its model first and then calls `_set_tokens`; the model knows nothing of added tokens.
    """

    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()
    clean_up_tokenization_spaces: bool

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of tokens of the model, without those added after it."""

    @abstractmethod
    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for."""

    @abstractmethod
    def _piece_to_id(self, piece: str) -> int | None:
        """The id of a token of the model; None if it has no such token."""

    @abstractmethod
    def _id_to_piece(self, index: int) -> str:
        """The token of the model with this id, which is below `vocab_size`."""

    @property
    @abstractmethod
    def _unknown_id(self) -> int:
        """The id of what is not in the vocabulary."""

    def __len__(self) -> int:
        return len(self.get_vocab())

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids, the added ones included."""
        return {self._id_to_piece(index): index for index in range(self.vocab_size)} | self._added.ids

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(self._added.by_id)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a name."""
        return list(self.special_tokens_map.get("additional_special_tokens", ()))

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        named = [self.special_tokens_map[name] for name in SPECIAL_NAMES if name in self.special_tokens_map]
        return list(dict.fromkeys([*named, *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self._added.ids[token] for token in self.all_special_tokens]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Gives the id of a token, or the list of ids of several; what is not in the vocabulary gets [UNK]'s id."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        index = self._added.ids.get(tokens, self._piece_to_id(tokens))
        return self._unknown_id if index is None else index

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Gives the token of an id, or the list of tokens of a list or array of ids.

        Raises:
            InputError: an id is in neither the vocabulary nor the added tokens.
        """
        ids = to_list(ids)
        if not isinstance(ids, list | tuple):
            return self._token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._token(index) for index in map(to_list, ids) if index not in skipped]

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Turns ids back into text.

        Args:
            token_ids: an id, or a list or array of ids.
            skip_special_tokens: leaves the special tokens out.
            clean_up_tokenization_spaces: removes the space before punctuation; None: as the tokenizer is set.

        Raises:
            InputError: an id is in neither the vocabulary nor the added tokens, or there are several rows.
        """
        ids = to_list(token_ids)
        if isinstance(ids, list | tuple) and any(isinstance(index, list | tuple) for index in ids):
            raise InputError("decode takes one row of ids, but got a batch. Use batch_decode.")
        tokens = self.convert_ids_to_tokens(ids if isinstance(ids, list | tuple) else [ids], skip_special_tokens)
        # Tokens outside the model stand apart, with spaces around; those with a role are the subclass's matter.
        outside = {token for token in self.additional_special_tokens if self._added.ids[token] >= self.vocab_size}
        outside |= self._added.ids.keys() - set(self.all_special_tokens)
        texts: list[str] = []
        for stands_apart, run in groupby(tokens, key=outside.__contains__):
            group = list(run)
            texts += group if stands_apart else [self.convert_tokens_to_string(group)]
        text = " ".join([*filter(None, texts[:-1]), *texts[-1:]])  # upstream keeps an empty end, and so its space
        if self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces:
            for written, wanted in _SPACES.items():
                text = text.replace(written, wanted)
        return text

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Decodes every row of ids; the options are those of `decode`."""
        return [self.decode(row, **options) for row in to_list(sequences)]

    def _set_tokens(self, settings: Mapping[str, Any]) -> None:
        """Gives every special token its id: the one asked for, the model's, or the next after all others."""
        tokens: dict[int, AddedToken] = dict(settings["added_tokens_decoder"])
        roles = {name: settings[name] for name in SPECIAL_NAMES if settings[name] is not None}
        additional = list(settings["additional_special_tokens"] or ())
        for role in [*roles.values(), *additional]:
            same = [index for index, token in tokens.items() if token.content == str(role)]
            index = same[0] if same else self._piece_to_id(str(role))
            if index is None:
                index = max(self.vocab_size, *(1 + known for known in tokens), 0)
            if not (same and isinstance(role, str)):
                flags = role if isinstance(role, AddedToken) else AddedToken.from_json(role, "The list of tokens")
                tokens[index] = flags.as_special()
        self._check_tokens(tokens)
        self.special_tokens_map: dict[str, Any] = {name: str(role) for name, role in roles.items()}
        if additional:
            self.special_tokens_map["additional_special_tokens"] = list(dict.fromkeys(map(str, additional)))
        self._added = AddedVocabulary(tokens, self.all_special_tokens)

    def _check_tokens(self, tokens: Mapping[int, AddedToken]) -> None:
        first: dict[str, int] = {}
        for index, token in tokens.items():
            own = self._piece_to_id(token.content)
            if first.setdefault(token.content, index) != index or own not in (None, index):
                other = own if own not in (None, index) else first[token.content]
                raise TokenizationError(f"Token {token.content!r} has two ids, {other} and {index}. Give it one.")
            if index < 0 or (index < self.vocab_size and own is None):
                raise TokenizationError(
                    f"Token {token.content!r} cannot be added with id {index}: ids below {self.vocab_size} are the "
                    f"vocabulary's. Choose a larger id, or the vocabulary that belongs to the token."
                )

    def _token(self, index: Any) -> str:
        if isinstance(index, int) and index in self._added.by_id:
            return self._added.by_id[index].content
        if not isinstance(index, int) or not 0 <= index < self.vocab_size:
            raise InputError(
                f"id {index!r} is no id of this tokenizer. Ids are int, 0 to {self.vocab_size - 1}, and those of added "
                f"tokens; replace others, such as -100 in labels, before decoding."
            )
        return self._id_to_piece(index)
