"""Classes of texts, or of pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deberta_core.arguments import row_of
from deberta_core.errors import InputError, one_of
from deberta_core.files import read_json
from deberta_core.json_shape import kind, record
from deberta_core.layout import CALIBRATION
from deberta_core.names.pipelines import CROSS_ENCODER_OPTIONS
from deberta_core.names.rows import own_keywords
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, check_flag, check_text, read_pair
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.scores import FUNCTIONS, best
from deberta_dual.pipelines.windows import LONG_TEXTS, WINDOW_SCORES, check_length, text_windows

_SHAPE = record({"temperature": kind("a number above 0", lambda value: type(value) in (int, float) and value > 0)})
_CROSS_ENCODER = ("batch_size", "max_length", "progress", "function_to_apply")
# What sentence-transformers writes into config.json: the last part of the name of a class of torch.
_ACTIVATIONS = {"Identity": "none", "Sigmoid": "sigmoid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassificationOptions(TextOptions):
    """What can be chosen.

    Args:
        top_k: "best", the best class alone, a dict; a number, a list of so many, the best first; None, a list of all;
            "all", a list of all in the model's order.
        function_to_apply: to the logits: "softmax", "sigmoid" or "none"; None: what fits the model.
        text_pair: the second text of every input that is a single text.
        long_texts: "truncate": texts that are too long are cut; "windows": they are read in windows, two of which share
            a quarter; "error": they are refused.
        window_scores: what the scores of a text in windows are: the "mean", the "max", or those of the "first" window.
        calibrated: whether logits are divided by `temperature` first, so that probabilities mean what they say.
        temperature: above 0; None: what `deberta evaluate --calibrate` wrote into the model's folder.
    """

    top_k: int | str | None = "best"
    function_to_apply: str | None = None
    text_pair: str | None = None
    long_texts: str = "truncate"
    window_scores: str = "mean"
    calibrated: bool = False
    temperature: float | None = None

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        if self.top_k not in ("best", "all"):
            check_count("top_k", self.top_k, none='for all, "best" or "all"')
        if isinstance(self.function_to_apply, str):
            object.__setattr__(self, "function_to_apply", self.function_to_apply.lower())
        if self.function_to_apply is not None and self.function_to_apply not in FUNCTIONS:
            raise InputError(one_of("function_to_apply", self.function_to_apply, tuple(FUNCTIONS)))
        if self.text_pair is not None:
            check_text("text_pair", self.text_pair, may_be_empty=True)
        if self.long_texts not in LONG_TEXTS:
            raise InputError(one_of("long_texts", self.long_texts, LONG_TEXTS))
        row_of(WINDOW_SCORES, "window_scores", self.window_scores)
        check_flag("calibrated", self.calibrated)
        temperature = self.temperature
        if temperature is not None and not (isinstance(temperature, int | float) and 0 < temperature < np.inf):
            raise InputError(f"temperature={temperature!r:.40} is not allowed. Give a number above 0.")


class TextClassificationPipeline(Pipeline):
    """Inputs: a text; or a pair, {"text", "text_pair"}, a tuple, or in a list also a list of two texts.

    Results: {"label", "score"}, or lists of them where a call or the pipeline has `top_k`. A single text, unless the
    call has `top_k`, gives its result in a list.

    Without `function_to_apply`, scores are probabilities of all classes together; of each class by itself where
    `problem_type` is "multi_label_classification" or there is one class; and logits where it is "regression".
    """

    task = "text-classification"
    model_task = "sequence_classification"
    options_class: ClassVar[type[Any]] = TextClassificationOptions
    # Options with which a call gives the scores of all classes, in the model's order.
    every_score: ClassVar[Mapping[str, Any]] = {"top_k": "all"}

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one input, or many; see `Pipeline.__call__`."""
        result = super().__call__(inputs, progress=progress, **options)
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def predict(self, inputs: Any, **options: Any) -> Any:
        """Scores of pairs, as of a cross-encoder; of other inputs the same as a call.

        Args:
            inputs: a list of pairs, or a single pair as a tuple; or inputs of a call.
            **options: for pairs `function_to_apply`, `batch_size`, `max_length` and `progress`. Without the first,
                one class gets what fits it, and several their logits.

        Returns:
            Of pairs float32 `[pairs]` where there is one class, else `[pairs, N]`; of a single pair without the first
            axis.
        """
        if isinstance(inputs, tuple) and self.is_one(inputs):
            return self._scores([inputs], options)[0]
        if isinstance(inputs, list | tuple) and inputs and isinstance(inputs[0], list | tuple):
            return self._scores(inputs, options)
        return self(inputs, **options)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Orders documents by the score of the pair of query and document, the best first.

        Args:
            query: a text.
            documents: texts.
            top_k: how many; None: all.
            return_documents: whether the texts are among the results.
            **options: as of `predict`.

        Returns:
            {"corpus_id", "score"} and, if asked for, "text": the number of a document, its score and the document.

        Raises:
            InputError: the model has several classes.
        """
        if self.arrays.config.num_labels != 1:
            raise InputError(f"rank needs a model of one class, and this one has {self.arrays.config.num_labels}.")
        check_count("top_k", top_k, none="for all")
        scores = self._scores([(query, document) for document in documents], options)
        return [
            {"corpus_id": number, "score": float(scores[number])}
            | ({"text": documents[number]} if return_documents else {})
            for number in best(scores.astype(np.float64), top_k)
        ]

    @classmethod
    def folder_options(cls, folder: str | Path, **hub_options: Any) -> dict[str, Any]:
        """The temperature that an evaluation wrote."""
        file = Path(folder) / CALIBRATION
        if not file.is_file():
            return {}
        found = read_json(file, InputError, "Write it anew: deberta evaluate --calibrate.", _SHAPE)
        return {"temperature": found["temperature"]}

    def check_model(self, options: TextClassificationOptions) -> None:
        """Raises InputError if there is no temperature, and one is asked for."""
        super().check_model(options)
        if options.calibrated and options.temperature is None:
            raise InputError(
                "calibrated=True needs a temperature, and the model's folder has none. Run deberta evaluate "
                "--calibrate, or give temperature."
            )

    def is_one(self, inputs: Any) -> bool:
        """Whether the inputs of a call are a single one; a tuple of two texts is a pair."""
        is_pair = isinstance(inputs, tuple) and len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
        return super().is_one(inputs) or is_pair

    def prepare(self, example: Any, options: TextClassificationOptions) -> Prepared:
        """Makes one row of a text or a pair, or one for each window."""
        texts = read_pair(example)
        text, pair = texts["text"], texts.get("text_pair", options.text_pair)
        if options.long_texts == "windows":
            return Prepared([ModelRow(row) for row in text_windows(self.tokenizer, text, pair, self.limit(options))])
        if options.long_texts == "error":
            check_length(self.tokenizer(text, pair, verbose=False), self.limit(options))
        return Prepared([ModelRow(self.tokenize(text, pair, options))])

    def finish(self, prepared: Prepared, options: TextClassificationOptions) -> Any:
        """Names the best classes."""
        config = self.arrays.config
        logits = np.stack([value["logits"] for value in prepared.values])  # [windows, C]
        if options.calibrated:
            logits = logits / options.temperature
        windows = FUNCTIONS[options.function_to_apply or self._function()](logits)
        scores = WINDOW_SCORES[options.window_scores](windows)
        assert config.id2label is not None
        if options.top_k == "best":
            first = int(scores.argmax())
            return {"label": config.id2label[first], "score": float(scores[first])}
        count = None if isinstance(options.top_k, str) else options.top_k
        order = range(len(scores)) if options.top_k == "all" else best(scores, count)
        return [{"label": config.id2label[number], "score": float(scores[number])} for number in order]

    def _function(self) -> str:
        config = self.arrays.config
        if config.problem_type == "regression":
            return "none"
        return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"

    def _scores(self, pairs: Sequence[Any], options: Any) -> NDArray[np.float32]:
        own = own_keywords(CROSS_ENCODER_OPTIONS, options, _CROSS_ENCODER, "option")
        function = own.pop("function_to_apply", None) or self._activation()
        results = self(list(pairs), **self.every_score, function_to_apply=function, **own)
        lists = (result if isinstance(result, list) else [result] for result in results)
        scores = np.array([[one["score"] for one in result] for result in lists], dtype=np.float32)
        return scores[:, 0] if self.arrays.config.num_labels == 1 else scores

    def _activation(self) -> str:
        """What a cross-encoder applies: what config.json says, or else what fits one class, and nothing to several."""
        config = self.arrays.config
        section = config.extra.get("sentence_transformers")
        name = section.get("activation_fn") if isinstance(section, dict) else None
        name = name or config.extra.get("sbert_ce_default_activation_function")
        if name is None:
            return self._function() if config.num_labels == 1 else "none"
        known = _ACTIVATIONS.get(str(name).rsplit(".", maxsplit=1)[-1])
        if known is None:
            raise InputError(f"config.json asks for the activation {name!r:.60}. Give function_to_apply.")
        return known
