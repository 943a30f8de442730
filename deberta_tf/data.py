"""What Keras' `fit`, `evaluate`, `predict` and on-batch methods are given, made into arrays before they trace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.auto import AutoTokenizer
from deberta_core.errors import InputError
from deberta_core.layout import TOKENIZER_FILES
from deberta_core.tasks import TaskSpec
from deberta_core.tokenization import Tokenizer
from deberta_tf.inputs import check_names, holds_texts
from deberta_tf.preprocessing import TextPreprocessor, dataset_holds_texts, map_leaves


class Fed(keras.Model):
    """The data side of a model, mixed into it.

    Inputs may be texts, where the model has a `preprocessor`; a `BatchEncoding` or a dict, of lists too; and everything
    Keras takes. Texts are a list or an array of them, a tuple of two such or a list of pairs, or a batched `tf.data`
    dataset of (texts, labels). Token classification also takes lists of words with as many labels, multiple choice
    (texts, lists of choices). Those in memory are tokenized once, not in every epoch.
    """

    spec: TaskSpec
    _preprocessor: TextPreprocessor | None = None
    _tokenizer_folder: Path | None = None

    @property
    def preprocessor(self) -> TextPreprocessor | None:
        """What tokenizes texts: the one that was set, or that of the folder the model is from; None without either."""
        folder = self._tokenizer_folder
        if (
            self._preprocessor is None
            and folder is not None
            and any((folder / name).exists() for name in TOKENIZER_FILES)
        ):
            self._preprocessor = TextPreprocessor(AutoTokenizer.from_pretrained(folder))
        return self._preprocessor

    @preprocessor.setter
    def preprocessor(self, value: Tokenizer | TextPreprocessor | None) -> None:
        """Sets what tokenizes texts; a tokenizer alone will do."""
        self._preprocessor = TextPreprocessor(value) if isinstance(value, Tokenizer) else value

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `fit`, also of texts; `class_weight` also weighs labels per token.

        Raises:
            InputError: labels that are texts or no classes of the model, texts without a preprocessor, or class weights
                for labels that are no classes, or with sample weights.
        """
        x, y = self._prepare(x, y)
        validation = options.get("validation_data")
        if isinstance(validation, (tuple, list)):
            held_out_x, held_out_y, weights = keras.utils.unpack_x_y_sample_weight(tuple(validation))
            options["validation_data"] = (*self._prepare(held_out_x, held_out_y), _to_array(weights))
        elif validation is not None:
            options["validation_data"] = self._prepare(validation, None)[0]
        return super().fit(x, y, *arguments, **_with_weights(options))

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `evaluate`, also of texts."""
        return super().evaluate(*self._prepare(x, y), *arguments, **_with_weights(options))

    def predict(self, x: Any, *arguments: Any, **options: Any) -> Any:
        """Keras' `predict`, also of texts."""
        return super().predict(self._prepare(x, None)[0], *arguments, **options)

    def train_on_batch(self, x: Any, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `train_on_batch`, also of texts."""
        return super().train_on_batch(*self._prepare(x, y), *arguments, **_with_weights(options))

    def test_on_batch(self, x: Any, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `test_on_batch`, also of texts."""
        return super().test_on_batch(*self._prepare(x, y), *arguments, **_with_weights(options))

    def predict_on_batch(self, x: Any) -> Any:
        """Keras' `predict_on_batch`, also of texts."""
        return super().predict_on_batch(self._prepare(x, None)[0])

    def _prepare(self, x: Any, y: Any) -> tuple[Any, Any]:
        if dataset_holds_texts(x, place=1) or (
            y is not None and holds_texts(next(iter(y.values())) if isinstance(y, Mapping) else y)
        ):
            raise InputError(
                "the labels are texts. Give numbers: [model.config.label2id[label] for label in labels], where the "
                "names are those of the configuration's label2id."
            )
        if dataset_holds_texts(x):
            return self._required_preprocessor().map_dataset(x, self.spec), y
        if holds_texts(x):
            preprocessor = self._required_preprocessor()
            if isinstance(x, (str, bytes)):
                raise InputError("x is one text. Give a list of texts: [text].")
            if y is not None and self.spec.name == "token_classification" and isinstance(x[0], (list, tuple)):
                return preprocessor.encode_words(x, y, self.spec)
            x = preprocessor.encode(x, self.spec)
        elif isinstance(x, Mapping):
            check_names(x, self.spec.labels)
            x = map_leaves(x, _to_array)
        several = isinstance(y, (list, tuple)) and len(self.spec.labels) > 1
        return x, type(y)(map(_to_array, y)) if several else map_leaves(y, _to_array)

    def _required_preprocessor(self) -> TextPreprocessor:
        found = self.preprocessor
        if found is None:
            raise InputError(
                "the inputs are texts, and the model has no preprocessor. Set model.preprocessor = tokenizer, or give "
                "model inputs: tokenizer(texts, padding=True, return_tensors='np')."
            )
        return found


def _to_array(value: Any) -> Any:
    """Nested lists, and tensors that Keras' backend may not know, as arrays; everything else as it is.

    Raises:
        InputError: rows of different lengths.
    """
    try:
        foreign = isinstance(value, (list, tuple)) or (hasattr(value, "numpy") and not ops.is_tensor(value))
        return np.asarray(value) if foreign else value
    except ValueError:
        raise InputError("a list has rows of different lengths. Pad them: tokenizer(texts, padding=True).") from None


def _with_weights(options: dict[str, Any]) -> dict[str, Any]:
    if isinstance(options.get("sample_weight"), (list, tuple)):
        options["sample_weight"] = _to_array(options["sample_weight"])
    return options
