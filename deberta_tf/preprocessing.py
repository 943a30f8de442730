"""Texts as the inputs of `fit`, `evaluate` and `predict`: tokenized before Keras sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import tree

from deberta_core.collation import align_word_labels
from deberta_core.errors import InputError
from deberta_core.names.keras import PREPROCESSOR_OPTIONS
from deberta_core.names.rows import own_keywords
from deberta_core.tasks import TaskSpec, task_spec
from deberta_core.tokenization import Tokenizer
from deberta_tf.inputs import holds_texts

Arrays = dict[str, Any]
_LONGEST = 512  # tokens, where neither the caller nor the tokenizer says less; that of the published models


class TextPreprocessor:
    """A tokenizer, and how long its rows are: what makes `fit(texts, labels)` and `predict(texts)` work.

    A model that was read from a folder with a tokenizer has one; another is attached by `model.preprocessor = ...`.

    Args:
        tokenizer: of this model.
        max_length: in tokens; longer texts are cut. None is the tokenizer's `model_max_length`, at most 512.
        padding: True for rows as long as the longest text (of a batch, for a dataset), "max_length" for `max_length`.
        **others: names of keras-hub, such as `sequence_length`; see `deberta_core.names.keras`.

    Raises:
        InputError: there is no such option, or `tokenizer` is none.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int | None = None, padding: bool | str = True, **others: Any
    ) -> None:
        own = own_keywords(PREPROCESSOR_OPTIONS, others, ("max_length", "padding"), "option")
        if not isinstance(tokenizer, Tokenizer):
            raise InputError(f"a {type(tokenizer).__name__} is no tokenizer. Give what AutoTokenizer loads.")
        self.tokenizer = tokenizer
        self.max_length: int = own.get("max_length", max_length) or min(tokenizer.model_max_length, _LONGEST)
        self.padding = own.get("padding", padding)

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """The inputs of a model for texts, beside labels and weights as they are, where these are given.

        Args:
            x: a list or an array of texts; a tuple of two of these, or a list of pairs, for pairs.
            y: labels.
            sample_weight: weights.

        Returns:
            arrays `[B, L]` by name; or (arrays, y), or (arrays, y, sample_weight).
        """
        arrays = self.encode(x, task_spec(None))
        return arrays if y is None else (arrays, y) if sample_weight is None else (arrays, y, sample_weight)

    def encode(self, x: Any, spec: TaskSpec) -> Arrays:
        """Tokenizes what a task takes.

        Args:
            x: texts or pairs, as in a call; for token classification also lists of words, for multiple choice
                (texts, lists of choices).
            spec: the task; that of questions cuts contexts alone.

        Returns:
            arrays `[B, L]` by name, `[B, N, L]` for multiple choice.
        """
        if spec.folds_choices:
            return self._encode_choices(x)
        return self._arrays(self._encoding(x, spec))

    def encode_words(self, x: Any, labels: Any, spec: TaskSpec) -> tuple[Arrays, Any]:
        """Tokenizes lists of words, and gives the first token of each the word's label, all others -100.

        Args:
            x: for each text, its words.
            labels: for each text, a class number a word.
            spec: token classification.

        Returns:
            arrays and labels, `[B, L]`.
        """
        encoding = self._encoding(x, spec)
        rows = [align_word_labels(list(given), encoding.word_ids(row)) for row, given in enumerate(labels)]
        return self._arrays(encoding), np.array(rows, np.int32)

    def map_dataset(self, dataset: Any, spec: TaskSpec) -> Any:
        """A `tf.data` dataset of batches of texts, alone or before labels and weights, as one of arrays.

        Raises:
            InputError: it has no batches.
        """
        first, rest = _split(dataset.element_spec)
        leaves = tree.flatten(first)
        if any(leaf.shape.rank == 0 for leaf in leaves):
            raise InputError("the dataset gives single texts. Make batches of them: dataset.batch(32).")
        row = type(leaves[0])((None, None), "int32")
        signature = dict.fromkeys(self.tokenizer.model_input_names, row)

        def batches() -> Any:
            for element in dataset:
                texts, others = _split(element)
                encoded = self.encode(texts, spec)
                yield (encoded, *others) if others else encoded

        made = dataset.from_generator(batches, output_signature=(signature, *rest) if rest else signature).prefetch(2)
        made.cardinality = dataset.cardinality  # Keras asks; a generator does not know
        return made

    def _encoding(self, x: Any, spec: TaskSpec) -> Any:
        texts = _plain(x)
        words = spec.name == "token_classification" and not isinstance(texts, tuple) and isinstance(texts[0], list)
        options: dict[str, Any] = {"is_split_into_words": True} if words else {}
        if isinstance(texts, tuple) and not isinstance(texts[0], str):  # the first texts, and the second ones
            texts, options = texts[0], {"text_pair": texts[1]} if len(texts) == 2 else _refuse_parts(len(texts))
        elif not words and isinstance(texts[0], list):
            texts = [tuple(pair) for pair in texts]
        return self.tokenizer(
            list(texts),
            **options,
            padding=self.padding,
            truncation="only_second" if spec.name == "question_answering" else True,
            max_length=self.max_length,
            return_tensors="np",
        )

    def _encode_choices(self, x: Any) -> Arrays:
        texts, choices = _plain(x) if isinstance(x, tuple) and len(x) == 2 else ([], [])
        if len({len(row) for row in choices}) != 1:
            raise InputError(
                "multiple choice takes (texts, choices): as many lists of N choices each as there are texts."
            )
        first = [text for text, row in zip(texts, choices, strict=True) for _ in row]
        flat = self._arrays(self._encoding((first, [choice for row in choices for choice in row]), task_spec(None)))
        return {name: values.reshape(len(texts), -1, values.shape[-1]) for name, values in flat.items()}

    def _arrays(self, encoding: Mapping[str, Any]) -> Arrays:
        return {name: encoding[name].astype(np.int32) for name in self.tokenizer.model_input_names}


def dataset_holds_texts(value: Any, place: int = 0) -> bool:
    """Whether a `tf.data` dataset has texts as inputs (place 0) or as labels (place 1)."""
    if not hasattr(value, "element_spec"):
        return False
    parts = value.element_spec if isinstance(value.element_spec, tuple) else (value.element_spec,)
    return place < len(parts) and holds_texts(tree.flatten(parts[place]))


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Changes the values of a mapping, the entries of a list of arrays, or the one value that there is."""
    if isinstance(value, Mapping):
        return {name: change(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)) and any(hasattr(part, "shape") and len(part.shape) for part in value):
        return type(value)(change(part) for part in value)
    return change(value)


def _split(element: Any) -> tuple[Any, tuple[Any, ...]]:
    """Inputs, and what comes after them."""
    return (element[0], element[1:]) if isinstance(element, tuple) else (element, ())


def _plain(value: Any) -> Any:
    """Texts as nested lists of `str`; a tuple remains one."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    if hasattr(value, "numpy"):
        value = value.numpy()
    if not isinstance(value, (str, list)):
        value = np.asarray(value).tolist()
    return (
        [list(_plain(part)) if isinstance(part, tuple) else _plain(part) for part in value]
        if isinstance(value, list)
        else value
    )


def _refuse_parts(count: int) -> Any:
    raise InputError(
        f"a tuple of {count} lists of texts was given. A model takes one, or two for pairs; texts go into a list."
    )
