"""What every pipeline does: examples in, rows through the model in batches, results out in order."""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import count
from typing import Any, ClassVar, NoReturn

import numpy as np

from deberta_core.errors import DebertaError, DebertaWarning, InputError, one_of
from deberta_core.tasks import task_spec
from deberta_core.tokenization.lengths import NO_LIMIT
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.pipelines.examples import check_count
from deberta_dual.progress import InputProgress

OnError = Callable[[int, DebertaError], None]

# How many batches of rows are read ahead, so that rows of similar length find together. More saves little padding.
BATCHES_AHEAD = 16


@dataclasses.dataclass(slots=True)
class Prepared:
    """An example on its way through the model.

    Args:
        rows: what the model runs for it; at least one.
        texts: what `Pipeline.finish` needs besides the outputs.
        values: what `Pipeline.reduce` made of each row's outputs.
    """

    rows: list[ModelRow]
    texts: Any = None
    values: list[Any] = dataclasses.field(default_factory=list)


class Pipeline(ABC):
    """A model with a tokenizer, made into a function from texts to answers; `pipeline` makes the one of a task.

    Args:
        model: of the pipeline's task.
        tokenizer: the model's own.
        batch_size: rows in a batch, at most.
        max_length: of a row, in tokens; None: the tokenizer's `model_max_length`; where that is not set, or absolute
            positions are added, no more than the configuration's `max_position_embeddings`.
        **options: fields of `options_class`, the defaults of every call.

    Attributes:
        name: of the pipeline, as in `PIPELINES`.
        task: of the model, a name of `deberta_core.tasks.TASKS`; None for a backbone.
        options_class: what can be chosen, with the defaults.

    Raises:
        InputError: the model is one for another task, the tokenizer has more tokens than the model, or an option is
            unknown or has a value it cannot have.
    """

    name: ClassVar[str]
    task: ClassVar[str | None]
    options_class: ClassVar[type[Any]]

    def __init__(
        self, model: ArrayModel, tokenizer: Any, *, batch_size: int = 32, max_length: int | None = None, **options: Any
    ) -> None:
        check_count("batch_size", batch_size)
        check_count("max_length", max_length, least=8, none="for the model's own limit")
        if model.task != self.task:
            raise InputError(
                f"the model is one for {task_spec(model.task).name}, but {self.name} needs "
                f"{task_spec(self.task).name}. Load it with the class ...{task_spec(self.task).class_suffix}."
            )
        if len(tokenizer) > model.config.vocab_size:
            raise InputError(
                f"the tokenizer has {len(tokenizer)} tokens, but the model vocab_size={model.config.vocab_size}. Give "
                f"the model's own tokenizer."
            )
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self.max_length = max_length or self._limit()
        if model.config.position_biased_input and self.max_length > model.config.max_position_embeddings:
            raise InputError(
                f"max_length={self.max_length} is more than max_position_embeddings="
                f"{model.config.max_position_embeddings}, and the model adds absolute positions. Lower it."
            )
        self._warned = False
        self.options = self.read_options(options)
        self.check_model(self.options)

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one input, or many.

        Args:
            inputs: a str or a dict, one input; a list or tuple, many; any other iterable, a stream of them.
            progress: whether a progress bar is drawn on standard error; None: for many, if it takes long and
                standard error is a terminal.
            **options: fields of `options_class`, for this call.

        Returns:
            The result of one input; a list of results; or, for other iterables, an iterator over them that reads no
            more than `BATCHES_AHEAD` batches ahead.

        Raises:
            InputError: an input or an option cannot be used; it says which.
            TokenizationError: a text is not valid Unicode.
        """
        if isinstance(inputs, str | Mapping):
            return next(self._results([inputs], self._call_options(options), _raise, False))
        if isinstance(inputs, Iterable):
            results = self.stream(inputs, progress=progress, **options)
            return list(results) if isinstance(inputs, list | tuple) else results
        raise InputError(f"inputs is of type {type(inputs).__name__}. Give a str, a dict, or an iterable of them.")

    def stream(
        self,
        inputs: Iterable[Any],
        *,
        on_error: OnError | None = None,
        progress: bool | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        """Answers inputs one after the other, in constant memory.

        Args:
            inputs: strs or dicts; a few batches of them are read ahead.
            on_error: called with the number of an input and its error when it cannot be used, right after it was read;
                the input has no result then. What it raises ends the stream, after the results of the inputs before.
                None raises the error itself.
            progress: as in a call.
            **options: as in a call.

        Raises:
            InputError: an option cannot be used.
        """
        return self._results(inputs, self._call_options(options), on_error or _raise_numbered, progress)

    @classmethod
    def read_options(cls, options: Mapping[str, Any], defaults: Any = None) -> Any:
        """Makes an `options_class` of options by name.

        Raises:
            InputError: an option is unknown or has a value it cannot have.
        """
        known = [field.name for field in dataclasses.fields(cls.options_class)]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise InputError(f"{cls.name}: {one_of('option', unknown[0], known or ['none at all'])}")
        return dataclasses.replace(cls.options_class() if defaults is None else defaults, **options)

    def check_model(self, options: Any) -> None:  # noqa: B027 - most pipelines ask for nothing
        """Raises InputError if the model cannot do what the options ask for; nothing is asked of it here."""

    @abstractmethod
    def prepare(self, example: Any, options: Any) -> Prepared:
        """Makes rows of an example.

        Raises:
            InputError: the example cannot be used.
        """

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: Any) -> Any:
        """What is kept of the outputs of one row, see `run_rows`: a copy, since they belong to a whole batch."""
        return {name: np.array(array) for name, array in outputs.items()}

    @abstractmethod
    def finish(self, prepared: Prepared, options: Any) -> Any:
        """Makes the result of an example, all of whose rows have their value."""

    def tokenize(self, text: str, pair: str | None = None) -> dict[str, list[int]]:
        """The model's inputs of a text or a pair; what does not fit is left out, and a warning says so, once."""
        encoding = self.tokenizer(text, pair)
        length = len(encoding["input_ids"])
        if length > self.max_length:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"A text has {length} tokens, of which {self.name} reads max_length={self.max_length}; this is not "
                    f"said again for other texts. Pass a larger max_length, or shorter texts.",
                    DebertaWarning,
                    stacklevel=2,
                )
            encoding = self.tokenizer(text, pair, truncation=True, max_length=self.max_length)
        return self.model_inputs(encoding)

    def model_inputs(self, encoding: Mapping[str, Any]) -> dict[str, list[int]]:
        """The entries of an encoding that the model takes."""
        return {name: encoding[name] for name in self.tokenizer.model_input_names}

    def _limit(self) -> int:
        limit: int = self.tokenizer.model_max_length
        longest = self.model.config.max_position_embeddings
        return min(limit, longest) if limit >= NO_LIMIT or self.model.config.position_biased_input else limit

    def _call_options(self, options: Mapping[str, Any]) -> Any:
        chosen = self.read_options(options, self.options)
        if options:
            self.check_model(chosen)
        return chosen

    def _results(
        self,
        inputs: Iterable[Any],
        options: Any,
        on_error: OnError,
        progress: bool | None,
    ) -> Iterator[Any]:
        total = len(inputs) if isinstance(inputs, Sized) else None
        waiting: list[Prepared] = []
        rows = 0
        with InputProgress(total, progress) as bar:
            problem = None
            source = self._prepared(inputs, options, on_error)
            while problem is None:
                try:
                    waiting.append(next(source))
                    rows += len(waiting[-1].rows)
                except StopIteration:
                    break
                except Exception as error:  # the inputs before it are answered first
                    problem = error
                if rows >= BATCHES_AHEAD * self.batch_size:
                    yield from self._answer(waiting, options, bar)
                    waiting, rows = [], 0
            yield from self._answer(waiting, options, bar)
        if problem is not None:
            raise problem

    def _prepared(self, inputs: Iterable[Any], options: Any, on_error: OnError) -> Iterator[Prepared]:
        source = iter(inputs)
        for number in count():
            try:
                yield self.prepare(next(source), options)
            except StopIteration:
                return
            except DebertaError as error:
                on_error(number, error)

    def _answer(self, waiting: Sequence[Prepared], options: Any, bar: InputProgress) -> Iterator[Any]:
        places = [(prepared, row) for prepared in waiting for row in range(len(prepared.rows))]
        for prepared in waiting:
            prepared.values = [None] * len(prepared.rows)
        pad = self.tokenizer.pad_token_id or 0
        rows = [prepared.rows[row] for prepared, row in places]
        for number, outputs in run_rows(self.model, rows, self.batch_size, pad):
            prepared, row = places[number]
            prepared.values[row] = self.reduce(prepared, row, outputs, options)
        for prepared in waiting:
            result = self.finish(prepared, options)
            bar.advance()
            yield result


def _raise(number: int, error: DebertaError) -> NoReturn:
    raise error


def _raise_numbered(number: int, error: DebertaError) -> NoReturn:
    raise type(error)(f"inputs[{number}]: {error}") from error
