"""What a file or an argument may ask for: one table of bounds, checked before memory or time is taken.

No published model comes near a bound. Who needs more says so where it is needed:

    with limits.raised(distance=4_000_000):
        config = AutoConfig.from_pretrained(folder)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from deberta_core.errors import InputError, one_of, shown


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound.

    Attributes:
        what: is counted.
        most: is allowed.
        why: there is a bound.
    """

    what: str
    most: int
    why: str


LIMITS: dict[str, Limit] = {
    # JSON files, vocabularies, headers
    "text_bytes": Limit("bytes", 1 << 28, "JSON and vocabulary files are read as a whole"),
    "json_values": Limit("values", 5_000_000, "a value takes up to 100 times its bytes"),
    "json_depth": Limit("levels of nesting", 100, "readers and writers call themselves once a level"),
    "config_fields": Limit("fields", 1_000, "each unknown field is compared with all known ones"),
    "name_length": Limit("characters", 1_000, "paths of nested groups grow with the square of their depth"),
    "file_name_bytes": Limit("bytes", 255, "file systems have no longer names"),
    # weight files
    "header_bytes": Limit("bytes", 100_000_000, "the safetensors format allows no more"),
    "dimensions": Limit("dimensions", 32, "NumPy has no more, and sizes are multiplied"),
    "array_bytes": Limit("bytes", (1 << 63) - 1, "no address reaches farther"),
    "zip_directory_bytes": Limit("bytes", 1 << 22, "an entry takes ten times its bytes"),
    "pickle_bytes": Limit("bytes", 1 << 26, "names, shapes and places of all tensors are far smaller"),
    "pickle_steps": Limit("steps", 1 << 20, "a step takes microseconds, and copies from its memo memory"),
    "h5_objects": Limit("groups and arrays", 100_000, "each is opened on its own"),
    "h5_copies": Limit("copies", 8, "all copies of a parameter are read and compared"),
    "h5_expansion": Limit("times the stored bytes", 1_100, "gzip's most is 1032, and a chunk is unpacked as a whole"),
    # configurations
    "vocabulary": Limit("tokens", 1 << 24, "tables have a row for every token"),
    "distance": Limit("tokens", 1 << 20, "the index table has two entries for every distance"),
    "layers": Limit("layers", 1_000, "the parameters of every layer are listed"),
    "heads": Limit("heads", 4_096, "every head has scores for all pairs of tokens"),
    "width": Limit("numbers a token", 1 << 18, "matrices grow with the square"),
    "token_types": Limit("token types", 1 << 16, "the table has a row for every type"),
    "labels": Limit("labels", 1_000_000, "every label has a name"),
    # tokenizers
    "added_tokens": Limit("added tokens", 100_000, "texts are searched for all of them"),
    "text_growth": Limit("times its length", 4_096, "a text is rewritten in memory"),
    "padded_length": Limit("tokens a row", 1 << 16, "every entry of a row takes eight bytes or more"),
    "padded_batch": Limit("tokens", 1 << 28, "a batch is made as a whole"),
    "windows": Limit("tokens", 1 << 28, "all windows of a text are made at once"),
}

_raised: ContextVar[dict[str, int]] = ContextVar("raised", default={})  # noqa: B039 - never changed in place


def bound(name: str) -> int:
    """The bound that is in force."""
    return _raised.get().get(name, LIMITS[name].most)


def check(name: str, count: int, who: str, error: type[Exception]) -> None:
    """Refuses what is over a bound.

    Args:
        name: of a row of `LIMITS`.
        count: what was asked for.
        who: the beginning of the message, such as "tokenizer.json has".
        error: the type raised.

    Raises:
        error: `count` is over the bound.
    """
    row, most = LIMITS[name], bound(name)
    if count > most:
        raise error(
            f"{who} {shown(count)} {row.what}, and at most {most} are allowed, since {row.why}. Whoever trusts it "
            f"raises the bound with deberta_core.limits.raised({name}=...)"
        )


@contextmanager
def raised(**bounds: int) -> Iterator[None]:
    """Allows more within a `with` block, in this thread.

    Args:
        **bounds: names of rows of `LIMITS` to new bounds.

    Raises:
        InputError: no such row, or no int.
    """
    for name, most in bounds.items():
        if name not in LIMITS:
            raise InputError(one_of("limit", name, list(LIMITS)))
        if type(most) is not int:
            raise InputError(f"{name}={shown(most)} is not an int. Give a number of {LIMITS[name].what}.")
    token = _raised.set({**_raised.get(), **bounds})
    try:
        yield
    finally:
        _raised.reset(token)
