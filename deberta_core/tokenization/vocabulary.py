"""The tokens of a tokenizer, their ids, and the way back to text: those of its model, and the added ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

from deberta_core.arguments import items_of
from deberta_core.errors import InputError, TokenizationError, one_of, shown
from deberta_core.limits import bound, check
from deberta_core.tokenization.added_tokens import SPECIAL_NAMES, AddedToken
from deberta_core.tokenization.subwords import SubwordModel

# What is cleaned up, in this order: spaces that English does not write.
_SPACES = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't"}
_SPACES |= {" 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"}


class Vocabulary:
    """Ids and tokens. It does not change: adding tokens makes another one.

    Args:
        model: which knows nothing of added tokens.
        settings: "added_tokens_decoder", the added tokens by id; the special tokens by role. Those without an id get
            the model's, or the next after all others.

    Raises:
        TokenizationError: a token has two ids, or an id that is the model's.
    """

    def __init__(self, model: SubwordModel, settings: Mapping[str, Any]) -> None:
        self.model = model
        tokens: dict[int, AddedToken] = dict(settings["added_tokens_decoder"])
        roles = {name: _role(settings[name]) for name in SPECIAL_NAMES if settings[name] is not None}
        additional = [_role(token) for token in settings["additional_special_tokens"] or ()]
        check("added_tokens", len(tokens) + len(additional), "The tokenizer has", TokenizationError)
        ids = _Ids(model, tokens)
        for role in [*roles.values(), *additional]:
            token = AddedToken.of(role, "The list of tokens", special=True)
            index = ids.take(token.content)
            if not (index in tokens and isinstance(role, str)):
                tokens[index] = token.as_special()
        self._check(tokens)
        self.by_id = dict(sorted(tokens.items()))  # the added tokens
        self.ids = {token.content: index for index, token in self.by_id.items()}
        self.additional = list(dict.fromkeys(map(str, additional)))  # the special tokens without a name
        self.special: dict[str, Any] = {name: str(role) for name, role in roles.items()}
        self.all_special = list(dict.fromkeys([*self.special.values(), *self.additional]))
        if additional:
            self.special["additional_special_tokens"] = self.additional
        # The tokens outside the model without a name, around which decoding may put spaces.
        self.apart = {token for token in self.additional if self.ids[token] >= model.vocab_size}
        self.apart |= self.ids.keys() - set(self.all_special)

    def __len__(self) -> int:
        return len(self.all_ids())

    def all_ids(self) -> dict[str, int]:
        """All tokens with their ids."""
        model = self.model
        return {model.id_to_piece(index): index for index in range(model.vocab_size)} | self.ids

    def token_id(self, token: str) -> int:
        """The id of a token; of [UNK], if there is no such token.

        Raises:
            InputError: there is neither.
        """
        index = self.ids.get(token)
        if index is None:
            index = self.model.piece_to_id(token)
        if index is None:
            unknown = self.special.get("unk_token")
            index = self.model.unknown_id if unknown is None else self.ids[unknown]
        if index is None:
            raise InputError("The token is not in the vocabulary, and the tokenizer has no unk_token to stand for it.")
        return index

    def token(self, index: Any) -> str:
        """The token of an id.

        Raises:
            InputError: there is no such id.
        """
        if isinstance(index, int) and index in self.by_id:
            return self.by_id[index].content
        if not isinstance(index, int) or not 0 <= index < self.model.vocab_size:
            raise InputError(
                f"id {shown(index)} is no id of this tokenizer. Ids are int, 0 to {self.model.vocab_size - 1}, and "
                f"those of added tokens; replace others, such as -100 in labels, before decoding."
            )
        return self.model.id_to_piece(index)

    def for_library(self, token: str) -> Any:
        """An added token, as the object of the `tokenizers` library."""
        from tokenizers import AddedToken as Token

        return Token(**self.by_id[self.ids[token]].to_json())

    def roles(self) -> dict[str, Any]:
        """The special tokens by role, with their flags; None or an empty list for a role that no token has."""
        tokens = {name: self.by_id[self.ids[self.special[name]]] for name in SPECIAL_NAMES if name in self.special}
        additional = [self.by_id[self.ids[token]] for token in self.additional]
        return {**dict.fromkeys(SPECIAL_NAMES), **tokens, "additional_special_tokens": additional}

    def with_tokens(self, new_tokens: Iterable[str | AddedToken], special: bool) -> Vocabulary:
        """Adds tokens after all others; what is a token already keeps its id."""
        tokens = dict(self.by_id)
        ids = _Ids(self.model, tokens)
        for new in new_tokens:
            token = AddedToken.of(new, "new_tokens", special)
            tokens[ids.take(token.content)] = token.as_special() if special else token
        return Vocabulary(self.model, {**self.roles(), "added_tokens_decoder": tokens})

    def with_roles(self, new_roles: Mapping[str, Any], replace_additional: bool) -> Vocabulary:
        """Gives tokens a role, adding them if need be.

        Raises:
            InputError: there is no such role.
        """
        roles = self.roles()
        if not isinstance(new_roles, Mapping):
            raise InputError(f"special_tokens_dict={shown(new_roles)} is no mapping. Give tokens by role.")
        for name, role in new_roles.items():
            if name not in roles:
                raise InputError(one_of("role", name, tuple(roles)))
            if name == "additional_special_tokens":
                role = items_of(role, name, "tokens")
            keep = name == "additional_special_tokens" and not replace_additional
            roles[name] = [*roles[name], *role] if keep else role
        return Vocabulary(self.model, {**roles, "added_tokens_decoder": self.by_id})

    def _check(self, tokens: Mapping[int, AddedToken]) -> None:
        first: dict[str, int] = {}
        for index, token in tokens.items():
            own = self.model.piece_to_id(token.content)
            other = first.setdefault(token.content, index if own is None else own)
            if other != index:
                raise TokenizationError(f"Token {token.content!r} has two ids, {other} and {index}. Give it one.")
            if not 0 <= index < bound("vocabulary") or (index < self.model.vocab_size and own is None):
                raise TokenizationError(
                    f"Token {token.content!r} cannot be added with id {shown(index)}: ids below "
                    f"{self.model.vocab_size} are the vocabulary's, and those from {bound('vocabulary')} on no "
                    f"model has. Choose another id, or the vocabulary that belongs to the token."
                )


class _Ids:
    """The ids that tokens have, or else get: the next after all others."""

    def __init__(self, model: SubwordModel, tokens: Mapping[int, AddedToken]) -> None:
        self._model = model
        self._known = {token.content: index for index, token in reversed([*tokens.items()])}
        self._next = max(model.vocab_size, *(1 + index for index in tokens), 0)

    def take(self, text: str) -> int:
        known = self._known.get(text)
        index = self._model.piece_to_id(text) if known is None else known
        index = self._next if index is None else index
        self._known[text], self._next = index, max(self._next, 1 + index)
        return index


def _role(value: Any) -> str | AddedToken:
    return value if isinstance(value, str) else AddedToken.of(value, "The list of tokens")


def join_apart(tokens: list[str], apart: Collection[str], join: Callable[[list[str]], str], space: str = " ") -> str:
    """Joins tokens with `join`, but puts spaces, or what stands for one, around those that stand apart."""
    texts: list[str] = []
    for stands_apart, run in groupby(tokens, key=apart.__contains__):
        group = list(run)
        texts += group if stands_apart else [join(group)]
    return space.join([*filter(None, texts[:-1]), *texts[-1:]])  # upstream keeps an empty end, and so its space


def clean_up(text: str) -> str:
    """Removes the spaces before punctuation."""
    for written, wanted in _SPACES.items():
        text = text.replace(written, wanted)
    return text
