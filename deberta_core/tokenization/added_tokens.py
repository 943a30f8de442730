"""Added tokens: their text and flags, and the attributes of a tokenizer that name those with a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any

from deberta_core.errors import TokenizationError, shown

# The named special tokens, in the order in which missing ones are appended to the vocabulary.
SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found in a text as it stands.

    Args:
        content: the token's text.
        single_word: only found where no other character than a space touches it.
        lstrip: takes the whitespace before it away.
        rstrip: takes the whitespace after it away.
        special: a token of the model, which `skip_special_tokens` removes, and not part of the language.
        normalized: whether lower-casing applies to it; None: to those that are not special.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    special: bool = False
    normalized: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, str) or not self.content:
            raise TokenizationError(f"content={shown(self.content)} is no token. An added token is a non-empty str.")
        try:
            self.content.encode()
        except UnicodeEncodeError:
            raise TokenizationError(f"content={shown(self.content)} is no token: it is no valid Unicode.") from None
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    @classmethod
    def from_json(cls, value: object, source: str) -> AddedToken:
        """Reads a token as the JSON files hold it: a dict of the fields; a str is a special token without flags.

        Raises:
            TokenizationError: the value is something else; `source` says where it stands.
        """
        if isinstance(value, str):
            return cls(value, special=True)
        fields = {name: part for name, part in value.items() if name != "__type"} if isinstance(value, Mapping) else {}
        if "content" not in fields or fields.keys() - {field.name for field in dataclass_fields(cls)}:
            raise TokenizationError(
                f"{source} holds {shown(value)}, which is no token. Use a str, or a dict with content."
            )
        return cls(**fields)

    @classmethod
    def of(cls, value: Any, source: str, special: bool = False) -> AddedToken:
        """Makes a token of a text, of the object of this name of the `tokenizers` library, or of a dict of the fields.

        Args:
            value: the text, token or dict.
            source: where it stands, for messages.
            special: whether a text is a special token.

        Raises:
            TokenizationError: the value is something else.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(value, special=special)
        names = [field.name for field in dataclass_fields(cls)]
        if all(hasattr(value, name) for name in names):
            value = {name: getattr(value, name) for name in names}
        return cls.from_json(value, source)

    def as_special(self) -> AddedToken:
        """The same token, marked as special."""
        return replace(self, special=True)

    def to_json(self) -> dict[str, Any]:
        """The fields as tokenizer_config.json holds them."""
        return asdict(self)


class _Role:
    """An attribute of a tokenizer that stands for a role; what is assigned becomes the tokenizer's token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_ids").removesuffix("_id")


class SpecialToken(_Role):
    """Attribute of a tokenizer such as `cls_token`: the token's text, None where there is none."""

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        return self if tokenizer is None else tokenizer.special_tokens_map.get(self._name)

    def __set__(self, tokenizer: Any, token: Any) -> None:
        tokenizer.add_special_tokens({self._name: token})


class SpecialTokenId(_Role):
    """Attribute of a tokenizer such as `cls_token_id`: the token's id, None where there is none."""

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = tokenizer.special_tokens_map.get(self._name)
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    def __set__(self, tokenizer: Any, index: int | None) -> None:
        token = None if index is None else tokenizer.convert_ids_to_tokens(index)
        tokenizer.add_special_tokens({self._name: token})


class SpecialTokens(_Role):
    """Attribute `additional_special_tokens`: the texts of the special tokens without a name."""

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        if tokenizer is None:
            return self
        none: list[str] | None = None if vars(tokenizer).get("_has_no_additional") else []  # as it was assigned
        return list(tokenizer.special_tokens_map.get(self._name, ())) or none

    def __set__(self, tokenizer: Any, tokens: Any) -> None:
        tokenizer._has_no_additional = tokens is None
        tokenizer.add_special_tokens({self._name: [] if tokens is None else tokens})


class SpecialTokenIds(_Role):
    """Attribute `additional_special_tokens_ids`: their ids."""

    def __get__(self, tokenizer: Any, owner: type) -> Any:
        if tokenizer is None:
            return self
        return tokenizer.convert_tokens_to_ids(tokenizer.special_tokens_map.get(self._name, []))

    def __set__(self, tokenizer: Any, ids: Any) -> None:
        tokenizer.add_special_tokens({self._name: tokenizer.convert_ids_to_tokens([] if ids is None else ids)})
