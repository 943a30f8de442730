"""Ids and tokens of a tokenizer, its special tokens included, and the way back from ids to text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, ClassVar

from deberta_core.errors import InputError, TokenizationError, one_of
from deberta_core.tensors import to_list
from deberta_core.tokenization.special_tokens import (
    SPECIAL_NAMES,
    AddedToken,
    AddedVocabulary,
    SpecialToken,
    SpecialTokenId,
)
from deberta_core.tokenization.subwords import SubwordModel

# What decoding cleans up, in this order: spaces that English does not write.
_SPACES = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't"}
_SPACES |= {" 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"}


class Vocabulary(ABC):
    """The tokens of a tokenizer: those of its model, and the added ones.

    A subclass sets up its model first and then calls `_set_tokens`; the model knows nothing of added tokens.
    """

    # Whether decoding puts spaces around added tokens that have no role, as SentencePiece tokenizers do upstream.
    spaces_around_added_tokens: ClassVar[bool]
    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()
    clean_up_tokenization_spaces: bool

    _subwords: SubwordModel

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the model, without those added after it."""
        return self._subwords.vocab_size

    @abstractmethod
    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for."""

    def __len__(self) -> int:
        return len(self.get_vocab())

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids, the added ones included."""
        pieces = {self._subwords.id_to_piece(index): index for index in range(self.vocab_size)}
        return pieces | self._added.ids

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
        index = self._added.ids.get(tokens)
        if index is None:
            index = self._subwords.piece_to_id(tokens)
        return self._unknown_id() if index is None else index

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
        text = self._spaced(tokens) if self.spaces_around_added_tokens else self.convert_tokens_to_string(tokens)
        if self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces:
            for written, wanted in _SPACES.items():
                text = text.replace(written, wanted)
        return text

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Decodes every row of ids; the options are those of `decode`."""
        return [self.decode(row, **options) for row in to_list(sequences)]

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Adds tokens after all others, and cuts texts at them from now on.

        Not to be called while another thread uses the tokenizer. A model's embeddings must grow with `len(tokenizer)`.

        Args:
            new_tokens: a str or AddedToken, or several. What is a token already keeps its id.
            special_tokens: whether `skip_special_tokens` leaves them out when decoding.

        Returns:
            How many of them are new.

        Raises:
            TokenizationError: one of them is no token.
        """
        before, tokens = len(self), dict(self._added.by_id)
        for new in [new_tokens] if isinstance(new_tokens, str | AddedToken) else new_tokens:
            token = new if isinstance(new, AddedToken) else AddedToken(new, special=special_tokens)
            tokens[self._id_for(token.content, tokens)] = token.as_special() if special_tokens else token
        self._set_tokens({**self._roles(), "added_tokens_decoder": tokens})
        return len(self) - before

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Gives tokens a role, such as `sep_token`, adding them if need be; see `add_tokens`.

        Args:
            special_tokens_dict: tokens by role; a list for "additional_special_tokens".
            replace_additional_special_tokens: whether those there are lose their role; they stay tokens.

        Returns:
            How many tokens are new.

        Raises:
            InputError: there is no such role.
        """
        roles = self._roles()
        for name, role in special_tokens_dict.items():
            if name not in roles:
                raise InputError(one_of("role", name, tuple(roles)))
            keep = name == "additional_special_tokens" and not replace_additional_special_tokens
            roles[name] = [*(roles[name] or ()), *role] if keep else role
        before = len(self)
        self._set_tokens({**roles, "added_tokens_decoder": dict(self._added.by_id)})
        return len(self) - before

    def _spaced(self, tokens: list[str]) -> str:
        # Tokens outside the model stand apart, with spaces around; those with a role are the subclass's matter.
        outside = {token for token in self.additional_special_tokens if self._added.ids[token] >= self.vocab_size}
        outside |= self._added.ids.keys() - set(self.all_special_tokens)
        texts: list[str] = []
        for stands_apart, run in groupby(tokens, key=outside.__contains__):
            group = list(run)
            texts += group if stands_apart else [self.convert_tokens_to_string(group)]
        return " ".join([*filter(None, texts[:-1]), *texts[-1:]])  # upstream keeps an empty end, and so its space

    def _roles(self) -> dict[str, Any]:
        """The special tokens by role, with their flags."""
        tokens, ids = self._added.by_id, self._added.ids
        roles: dict[str, Any] = {name: None for name in SPECIAL_NAMES}
        roles |= {name: tokens[ids[self.special_tokens_map[name]]] for name in roles if name in self.special_tokens_map}
        return roles | {"additional_special_tokens": [tokens[ids[text]] for text in self.additional_special_tokens]}

    def _unknown_id(self) -> int:
        unknown = self.special_tokens_map.get("unk_token")
        index = self._subwords.unknown_id if unknown is None else self._added.ids[unknown]
        if index is None:
            raise InputError("The token is not in the vocabulary, and the tokenizer has no unk_token to stand for it.")
        return index

    def _id_for(self, text: str, tokens: Mapping[int, AddedToken]) -> int:
        """The id a token has, or else gets: the next after all others."""
        known = next((index for index, token in tokens.items() if token.content == text), None)
        index = self._subwords.piece_to_id(text) if known is None else known
        return max(self.vocab_size, *(1 + other for other in tokens), 0) if index is None else index

    def _set_tokens(self, settings: Mapping[str, Any]) -> None:
        """Gives every special token its id: the one asked for, the model's, or the next after all others."""
        tokens: dict[int, AddedToken] = dict(settings["added_tokens_decoder"])
        roles = {name: settings[name] for name in SPECIAL_NAMES if settings[name] is not None}
        additional = list(settings["additional_special_tokens"] or ())
        for role in [*roles.values(), *additional]:
            index = self._id_for(str(role), tokens)
            if not (index in tokens and isinstance(role, str)):
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
            own = self._subwords.piece_to_id(token.content)
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
        return self._subwords.id_to_piece(index)
