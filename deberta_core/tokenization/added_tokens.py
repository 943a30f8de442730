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

    def as_special(self) -> AddedToken:
        """The same token, marked as special."""
        return replace(self, special=True)

    def to_json(self) -> dict[str, Any]:
        """The fields as tokenizer_config.json holds them."""
        return asdict(self)


class _Role:
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_id")


class SpecialToken(_Role):
    """Attribute of a tokenizer such as `cls_token`: the token's text, None where there is none."""

    def __get__(self, tokenizer: Any, owner: type) -> str | None:
        token: str | None = tokenizer.special_tokens_map.get(self._name)
        return token


class SpecialTokenId(_Role):
    """Attribute of a tokenizer such as `cls_token_id`: the token's id, None where there is none."""

    def __get__(self, tokenizer: Any, owner: type) -> int | None:
        token = tokenizer.special_tokens_map.get(self._name)
        index: int | None = None if token is None else tokenizer.convert_tokens_to_ids(token)
        return index
