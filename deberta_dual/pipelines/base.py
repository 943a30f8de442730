"""What every pipeline does: examples in, rows through the model in batches, results out in order."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from deberta_core.auto import AutoTokenizer
from deberta_core.errors import DebertaError, DebertaWarning, InputError, WrongType
from deberta_core.names.pipelines import PIPELINE_CALL, PIPELINE_OPTIONS, TASK_OPTIONS
from deberta_core.names.rows import Renamed, own_keywords
from deberta_core.tasks import task_spec
from deberta_core.tokenization.lengths import NO_LIMIT
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.pipelines.given_model import GivenModel, given_model
from deberta_dual.pipelines.options import PipelineOptions, unfolded
from deberta_dual.pipelines.steps import RowArrays, finish_rows, rows_of, run_row
from deberta_dual.progress import InputProgress

OnError = Callable[[int, DebertaError], None]

# How many batches of rows are read ahead, so that rows of similar length find together. More saves little padding.
BATCHES_AHEAD = 16
# What a pipeline takes besides its options.
_ARGUMENTS = ("framework", "dtype")


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
        model: of the pipeline's task, a model object of `deberta_torch` or `deberta_tf`, or an `ArrayModel`; or a list
            of such, whose probabilities are averaged, see `average_models`.
        tokenizer: the model's own, or its folder.
        device: where the model computes; a PyTorch model is moved there. None: where it is.
        **options: fields of `options_class`, the defaults of every call; `framework` and `dtype`, which must be the
            model's; or names of other libraries, see `deberta_core.names.pipelines`.

    Attributes:
        task: the name of the pipeline, as in `PIPELINES`.
        model_task: of the model, a name of `deberta_core.tasks.TASKS`; None for a backbone.
        options_class: what can be chosen, with the defaults.
        in_rows: whether an example may be several rows for the model.
        nested: the option that holds options as a dict, if there is one.
        framework: "torch" or "tf"; None for an `ArrayModel`.
        device: where the model computes; None for an `ArrayModel`.

    Raises:
        InputError: the model is one for another task, the tokenizer has more tokens than the model, or an option is
            unknown or has a value it cannot have.
    """

    task: ClassVar[str]
    model_task: ClassVar[str | None]
    options_class: ClassVar[type[Any]]
    in_rows: ClassVar[bool] = False
    nested: ClassVar[str | None] = None
    cuts: ClassVar[str] = "longest_first"

    def __init__(self, model: Any, tokenizer: Any = None, *, device: Any = None, **options: Any) -> None:
        own = self.own_names(options, _ARGUMENTS)
        about = {name: own.pop(name, None) for name in _ARGUMENTS}
        self._given: GivenModel = given_model(model, self.model_task, device=device, **about)
        self.arrays: ArrayModel = self._given.arrays
        self.model, self.framework, self.device = self._given.model, self._given.framework, self._given.device
        if self.arrays.task != self.model_task:
            needed = task_spec(self.model_task)
            raise InputError(
                f"the model is one for {task_spec(self.arrays.task).name}, but {self.task} needs {needed.name}. "
                f"Load it with the class ...{needed.class_suffix}."
            )
        if tokenizer is None:
            raise InputError("tokenizer is missing: a model object does not tell which. Give one or its folder.")
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
        if len(self.tokenizer) > self.arrays.config.vocab_size:
            raise InputError(
                f"the tokenizer has {len(self.tokenizer)} tokens, but the model vocab_size="
                f"{self.arrays.config.vocab_size}. Give the model's own tokenizer."
            )
        self._warned = False
        self.options = self.read_options(own)
        self.check_model(self.options)

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one input, or many.

        Args:
            inputs: a str or a dict, one input; a list or tuple, many; a data set or any other iterable, a stream of
                them.
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
        if self.is_one(inputs):
            return next(self._results([inputs], self._call_options(options), _raise, False))
        if isinstance(inputs, list | tuple):
            return list(self.stream(inputs, progress=progress, **options))
        if isinstance(inputs, Sized) and hasattr(inputs, "__getitem__") and not isinstance(inputs, Iterable):
            data = inputs  # a data set of torch can be counted and indexed
            inputs = (data[number] for number in range(len(data)))
        if isinstance(inputs, Iterable):
            return self.stream(inputs, progress=progress, **options)
        raise WrongType(f"inputs is of type {type(inputs).__name__}. Give a str, a dict, or an iterable of them.")

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The same as a call, by scikit-learn's name."""
        return self(inputs, **options)

    def transform(self, inputs: Any, **options: Any) -> Any:
        """The same as a call, by scikit-learn's name."""
        return self(inputs, **options)

    def __repr__(self) -> str:
        tokenizer = type(self.tokenizer).__name__
        return (
            f"{type(self).__name__}(task={self.task!r}, model={type(self.model).__name__}, tokenizer={tokenizer}, "
            f"framework={self.framework!r}, device={str(self.device)!r})"
        )

    @property
    def dtype(self) -> Any:
        """What the model computes in, as its framework says it; None for an `ArrayModel`."""
        return getattr(self.model, "dtype", None)

    @property
    def max_length(self) -> int:
        """How many tokens a row may have, unless a call says otherwise."""
        return self.limit(self.options)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Saves the model and its tokenizer.

        Args:
            folder: where to.
            **options: those of the model's `save_pretrained`.

        Raises:
            InputError: the pipeline is around an `ArrayModel` or several models, which cannot be saved.
        """
        if not hasattr(self.model, "save_pretrained"):
            what = "an ArrayModel" if isinstance(self.model, ArrayModel) else "several"
            raise InputError(f"the model is {what}, which cannot be saved. Save what it was made of.")
        self.model.save_pretrained(folder, **options)
        self.tokenizer.save_pretrained(folder)

    def preprocess(self, inputs: Any, **options: Any) -> Any:
        """The first of three steps that make a result: the model's inputs of one example.

        Returns:
            arrays `[1, L]` by name; an iterator of such where `in_rows`.
        """
        rows = rows_of(self.prepare(inputs, self._call_options(options)))
        return rows if self.in_rows else next(rows)

    def forward(self, model_inputs: RowArrays) -> RowArrays:
        """The second step: the model's outputs, arrays `[1, ...]` by name, of one row that `preprocess` made."""
        return run_row(self, model_inputs)

    def postprocess(self, model_outputs: RowArrays | Iterable[RowArrays], **options: Any) -> Any:
        """The third step: the result, of what `forward` returned, for all rows where `in_rows`."""
        return finish_rows(self, model_outputs, self._call_options(options))

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

    def is_one(self, inputs: Any) -> bool:
        """Whether the inputs of a call are a single one."""
        return isinstance(inputs, str | Mapping)

    @classmethod
    def own_names(cls, options: Mapping[str, Any], arguments: Sequence[str] = ()) -> dict[str, Any]:
        """Options by our names; an old name is said in a warning.

        Args:
            options: as the caller wrote them.
            arguments: what is taken besides them.

        Raises:
            InputError: an option is unknown, refused, or given twice.
        """
        own = {*(field.name for field in dataclasses.fields(cls.options_class)), *arguments}
        own |= set() if cls.nested is None else {cls.nested}
        old = TASK_OPTIONS.get(cls.task, {})
        rows = {**(PIPELINE_OPTIONS if arguments else {}), **PIPELINE_CALL, **old}
        for name in options:
            if name not in own and isinstance(row := old.get(name), Renamed):
                warnings.warn(f"{name} is an old name. Use {row.ours}.", DebertaWarning, stacklevel=3)
        found = own_keywords(rows, options, sorted(own), "option")
        return cls.own_names(unfolded(found, cls.nested), arguments) if cls.nested in found else found

    @classmethod
    def read_options(cls, options: Mapping[str, Any], defaults: Any = None) -> Any:
        """Makes an `options_class` of options by name.

        Raises:
            InputError: an option is unknown or has a value it cannot have.
        """
        return dataclasses.replace(cls.options_class() if defaults is None else defaults, **cls.own_names(options))

    @classmethod
    def folder_options(cls, folder: str | Path, **hub_options: Any) -> dict[str, Any]:
        """The defaults that files of a checkpoint folder, or of a repository of the hub, set for options."""
        return {}

    def check_model(self, options: Any) -> None:
        """Raises InputError if the model cannot do what the options ask for."""
        config = self.arrays.config
        if config.position_biased_input and self.limit(options) > config.max_position_embeddings:
            raise InputError(
                f"max_length={self.limit(options)} is more than max_position_embeddings="
                f"{config.max_position_embeddings}, and the model adds absolute positions. Lower it."
            )

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

    def limit(self, options: PipelineOptions) -> int:
        """How many tokens a row may have."""
        if options.max_length is not None:
            return options.max_length
        limit: int = self.tokenizer.model_max_length
        config = self.arrays.config
        is_bound = limit >= NO_LIMIT or config.position_biased_input
        return min(limit, config.max_position_embeddings) if is_bound else limit

    def tokenize(self, text: str, pair: str | None, options: Any) -> dict[str, list[int]]:
        """The model's inputs of a text or a pair, cut as `options.truncation` says."""
        encoding = self.tokenizer(text, pair, verbose=False)
        length, limit = len(encoding["input_ids"]), self.limit(options)
        if length > limit and options.truncation not in (False, "do_not_truncate"):
            if options.truncation is None and not self._warned:
                self._warned = True
                warnings.warn(
                    f"A text has {length} tokens, of which {self.task} reads max_length={limit}; this is not said "
                    f"again for other texts. Pass a larger max_length, shorter texts, or truncation=True.",
                    DebertaWarning,
                    stacklevel=2,
                )
            how = options.truncation if isinstance(options.truncation, str) else self.cuts
            encoding = self._cutter(options.truncation_side)(text, pair, truncation=how, max_length=limit)
        return self.model_inputs(encoding)

    def model_inputs(self, encoding: Mapping[str, Any]) -> dict[str, list[int]]:
        """The entries of an encoding that the model takes."""
        return {name: encoding[name] for name in self.tokenizer.model_input_names}

    def _cutter(self, side: str | None) -> Any:
        """The tokenizer, set to cut texts on a side; a copy, since other threads may use the pipeline's own."""
        if side is None or side == self.tokenizer.truncation_side:
            return self.tokenizer
        tokenizer = copy.copy(self.tokenizer)
        tokenizer.truncation_side = side
        return tokenizer

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
                if rows >= BATCHES_AHEAD * options.batch_size:
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
        for number, outputs in run_rows(self.arrays, rows, options.batch_size, pad):
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
