"""What every task of fine-tuning does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from deberta_core.collation import DataCollatorWithPadding
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization.lengths import NO_LIMIT
from deberta_dual.backends.protocol import ArrayModel, Arrays, Comparison
from deberta_dual.data.columns import no_column
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.pipelines.batches import ModelRow, run_rows

MODEL_ROW = ("input_ids", "token_type_ids", "attention_mask")


@dataclass(frozen=True, slots=True)
class Head:
    """The head that the training data ask for.

    Attributes:
        changes: fields of the configuration.
        is_new: whether its classifier must start fresh, even where a checkpoint has one of that shape.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    is_new: bool = False


class FinetuneTask(ABC):
    """A task around its data.

    Args:
        tokenizer: the model's own.
        max_length: of a row, in tokens.
        batch_size: rows in a batch of an evaluation.
        long_texts: "truncate", "windows" or "error", of texts that are longer than a row, where the task can choose;
            None: as is usual.
        loss: a name of `losses`; None: as is usual.
        pooling: a name of `poolings`; None: as is usual.

    Attributes:
        name: of the pipeline that answers with the trained model.
        task: of the model, a name of `deberta_core.tasks.TASKS`; None for a backbone.
        entries: what a record must hold.
        optional: what it may hold besides.
        max_length: what is usual, in tokens; None: what the model can read.
        collator: makes batches of features.
        long_texts: what can be chosen for texts that are longer than a row.
        losses: what can be chosen for the loss.
        poolings: what can be chosen for making one vector of those of tokens.
        truncated: how many texts `features` has cut so far.
    """

    name: ClassVar[str]
    task: ClassVar[str | None]
    entries: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    max_length: ClassVar[int | None] = None
    collator: ClassVar[type[DataCollatorWithPadding]] = DataCollatorWithPadding
    long_texts: ClassVar[tuple[str, ...]] = ()
    losses: ClassVar[tuple[str, ...]] = ()
    poolings: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int,
        batch_size: int,
        long_texts: str | None = None,
        loss: str | None = None,
        pooling: str | None = None,
    ) -> None:
        self.check_choices(long_texts=long_texts, loss=loss, pooling=pooling)
        self.loss, self.pooling = loss, pooling
        self.reads_windows, self.refuses_long = long_texts == "windows", long_texts == "error"
        self.tokenizer, self.length, self.batch_size = tokenizer, max_length, batch_size
        self.truncated = 0

    @classmethod
    @abstractmethod
    def check(cls, record: Record) -> None:
        """Raises InputError unless the entries have the form they should; all else takes that for granted."""

    @classmethod
    def check_choices(cls, **given: str | None) -> None:
        """Raises InputError for a `long_texts`, `loss` or `pooling` that the task does not have; None is no choice."""
        choices = {"long_texts": cls.long_texts, "loss": cls.losses, "pooling": cls.poolings}
        for name, value in given.items():
            if value is not None and value not in choices[name]:
                has = ", ".join(choices[name]) or "nothing to choose there"
                raise InputError(f"{name}={value!r} is not for {cls.name}, which has: {has}.")

    @classmethod
    def folder_choices(cls, model: str | Path) -> dict[str, Any]:
        """What the files beside a checkpoint, or in a repository of the hub, say of `max_length` and `pooling`."""
        return {}

    @classmethod
    def head(
        cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None, loss: str | None = None
    ) -> Head:
        """Reads off the training data which head they need; most tasks have one only.

        Args:
            records: all of them.
            config: of the model that the training starts from.
            problem_type: as in a configuration, where the task has several; None: what the data show.
            loss: a name of `losses`; None: as is usual.

        Raises:
            InputError: the labels cannot be used together; or the data have no such head.
        """
        if problem_type is not None:
            raise InputError(f"problem_type={problem_type!r} is for text-classification alone. Leave it out.")
        return Head()

    @classmethod
    def labels_in(cls, scheme: str) -> dict[str, Any]:
        """What a configuration holds that says in which scheme labels of words are learnt.

        Raises:
            InputError: the task has none, or no such one.
        """
        raise InputError(f"label_scheme={scheme!r} is for token-classification alone. Leave it out.")

    @abstractmethod
    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes labelled rows of tokens, as the collator takes them.

        Args:
            records: with their labels.
            config: of the model.
            judged: whether a class that the model does not have counts as wrong, with a warning; when training it is
                an error.

        Raises:
            InputError: a record cannot be used; it says which, and why.
            TokenizationError: a text is not valid Unicode; it says whose.
        """

    @classmethod
    @abstractmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """The one of `score` that says which model is the best; more of it is better, but of a loss less.

        Args:
            config: of the model.
            records: it is judged by.
        """

    @abstractmethod
    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """What a model says of records, from the `features` made of them; see the class for its form."""

    @abstractmethod
    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Scores the answers of `answer` by what the records say is right."""

    def score(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Metrics:
        """Judges a model by records and the `features` made of them."""
        return self.compare(model.config, self.answer(model, records, features), records)

    @classmethod
    @abstractmethod
    def texts(cls, record: Record) -> list[str]:
        """The texts of a record, to train a vocabulary on."""

    def drawn(self, feature: Feature, seeds: Sequence[int]) -> Feature:
        """What a step learns from an example, a function of the seeds alone: of the run, the epoch and the example."""
        return feature

    @classmethod
    def group(cls, record: Record) -> Hashable | None:
        """What records share that must not be divided between training and evaluation; None: it stands by itself."""
        return None

    @classmethod
    def stratum(cls, record: Record, config: BaseConfig) -> Hashable | None:
        """What all folds should have equally much of, such as the class of a record; None: nothing."""
        return None

    def collate(self, features: Sequence[Feature]) -> Arrays:
        """Makes a batch: int64, or float32 where labels are floats. Those of compared rows begin with their group."""
        if self.comparison() is not None:
            features = [
                {**row, "labels": [float(group), *label]}
                for group, feature in enumerate(features)
                for row, label in zip(single_rows(feature), feature["labels"], strict=True)
            ]
        batch: Arrays = self.collator(self.tokenizer).collate(features)
        return batch

    def comparison(self) -> Comparison | None:
        """The loss of rows that are compared with each other; None: the model's own."""
        return None

    def rows(self, feature: Feature) -> int:
        """How many rows of a batch an example is."""
        return 1 if self.comparison() is None else len(feature["input_ids"])

    def save(self, folder: Path, config: BaseConfig) -> None:
        """Writes the tokenizer, and whatever else the pipeline needs besides the model."""
        self.tokenizer.save_pretrained(folder)

    def count(self, feature: Feature) -> int:
        """How many labels of a row count in the loss."""
        return 1

    def encode(self, text: Any, pair: Any = None, **options: Any) -> Any:
        """The model's inputs; what is too long is cut off."""
        encoding = self.tokenizer(text, pair, verbose=False, **options)
        rows = encoding["input_ids"] if isinstance(text, list) else [encoding["input_ids"]]
        if (longest := max(map(len, rows), default=0)) > self.length:
            if self.refuses_long:
                raise InputError(f"the text has {longest} tokens, and max_length={self.length}. Shorten it.")
            self.truncated += 1
            encoding = self.tokenizer(text, pair, truncation=True, max_length=self.length, **options)
        return {name: encoding[name] for name in self.tokenizer.model_input_names}

    def outputs(self, model: ArrayModel, features: Sequence[Feature]) -> list[Arrays]:
        """The model's outputs for rows, in their order."""
        rows = [ModelRow({name: feature[name] for name in MODEL_ROW}) for feature in features]
        found = dict(run_rows(model, rows, self.batch_size, self.tokenizer.pad_token_id or 0))
        return [found[number] for number in range(len(rows))]


def single_rows(feature: Feature) -> list[dict[str, Any]]:
    """The model's inputs of a feature that has several rows, row by row."""
    names = [name for name in MODEL_ROW if name in feature]
    return [dict(zip(names, row, strict=True)) for row in zip(*(feature[name] for name in names), strict=True)]


def entry(record: Record, name: str) -> Any:
    """An entry of a record.

    Raises:
        InputError: there is none; the message names those that are there.
    """
    if record.values.get(name) is None:
        raise InputError(no_column(name, record))
    return record.values[name]


@contextmanager
def at(record: Record) -> Iterator[None]:
    """Adds the place of the record to errors raised within."""
    try:
        yield
    except (InputError, TokenizationError) as problem:
        raise type(problem)(f"{record.place}: {problem}") from None


def usual_length(cls: type[FinetuneTask], tokenizer: Any, config: BaseConfig) -> int:
    """The maximum sequence length of a task where none is given: its own, or what tokenizer and model allow."""
    limit: int = min(tokenizer.model_max_length, config.max_position_embeddings)
    if tokenizer.model_max_length < NO_LIMIT and not config.position_biased_input:
        limit = tokenizer.model_max_length
    return min(cls.max_length or limit, limit)
