"""Lines of text or JSON as examples for a pipeline, each with its number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Self

from deberta_core.errors import InputError
from deberta_core.json_shape import flat_json

INPUT_FORMATS = ("auto", "json", "text")


class Lines(Iterator[Any]):
    """The examples in a stream of lines: what JSON says, or the text of a line. Blank lines are passed over.

    Goes on behind a line that raised an error.

    Args:
        stream: UTF-8, with any line ends.
        input_format: "json", every line is JSON; "text", none is; "auto": those that begin with a brace are.

    Attributes:
        number: of the line that was read last, from 1.
    """

    def __init__(self, stream: BinaryIO, input_format: str) -> None:
        self._stream, self._format = stream, input_format
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """Reads an example.

        Raises:
            InputError: the line is no UTF-8, or not the JSON it should be.
        """
        for line in self._stream:
            self.number += 1
            try:
                text = line.decode("utf-8-sig" if self.number == 1 else "utf-8").strip()
                if text:
                    return self._example(text)
            except UnicodeDecodeError as problem:
                raise InputError(f"the line is no UTF-8: {problem.reason} at byte {problem.start}.") from None
            except ValueError as problem:
                raise InputError(f"the line is no JSON: {problem}. Mend it, or read it as text.") from None
        raise StopIteration

    def _example(self, text: str) -> Any:
        is_json = self._format == "json" or (self._format == "auto" and text.startswith("{"))
        return flat_json(text) if is_json else text
