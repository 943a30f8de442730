"""Classes of texts, or of pairs of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deberta_core.errors import InputError, one_of
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, read_texts
from deberta_dual.pipelines.scores import FUNCTIONS, best


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassificationOptions:
    """What can be chosen.

    Args:
        top_k: how many classes; None: all.
        function_to_apply: to the logits: "softmax", "sigmoid" or "none"; None: what fits the model.
    """

    top_k: int | None = 1
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k, none="for all")
        if self.function_to_apply is not None and self.function_to_apply not in FUNCTIONS:
            raise InputError(one_of("function_to_apply", self.function_to_apply, tuple(FUNCTIONS)))


class TextClassificationPipeline(Pipeline):
    """Inputs: a text, or {"text", "text_pair"}. Results: {"label", "score"}; a list of them unless `top_k` is 1.

    Without `function_to_apply`, scores are probabilities of all classes together; of each class by itself where
    `problem_type` is "multi_label_classification" or there is one class; and logits where it is "regression".
    """

    name = "text-classification"
    task = "sequence_classification"
    options_class = TextClassificationOptions

    def prepare(self, example: Any, options: TextClassificationOptions) -> Prepared:
        """Makes one row of a text or a pair."""
        texts = read_texts(example, ["text"], ["text_pair"])
        return Prepared([ModelRow(self.tokenize(texts["text"], texts.get("text_pair")))])

    def finish(self, prepared: Prepared, options: TextClassificationOptions) -> Any:
        """Names the best classes."""
        config = self.model.config
        scores = FUNCTIONS[options.function_to_apply or self._function()](prepared.values[0]["logits"])
        assert config.id2label is not None
        found = [{"label": config.id2label[k], "score": float(scores[k])} for k in best(scores, options.top_k)]
        return found[0] if options.top_k == 1 else found

    def _function(self) -> str:
        config = self.model.config
        if config.problem_type == "regression":
            return "none"
        return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"
