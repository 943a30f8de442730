"""What the backbone makes of texts: a vector for each token, or one for the whole text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deberta_core.errors import InputError, one_of
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_flag, read_texts

# By the names of the option `pooling`: hidden states [L, C] of real tokens to [C].
POOLINGS = {
    "first": lambda hidden: hidden[0],
    "mean": lambda hidden: hidden.mean(axis=0, dtype=np.float64),
    "max": lambda hidden: hidden.max(axis=0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureExtractionOptions:
    """There is nothing to choose."""


class FeatureExtractionPipeline(Pipeline):
    """Inputs: a text, or {"text", "text_pair"}. Results: float32 `[L, C]`, a vector for each token.

    The special tokens are among them; padding is not. Any checkpoint has a backbone.
    """

    name = "feature-extraction"
    task = None
    options_class: ClassVar[type[Any]] = FeatureExtractionOptions

    def prepare(self, example: Any, options: Any) -> Prepared:
        """Makes one row of a text or a pair."""
        texts = read_texts(example, ["text"], ["text_pair"])
        return Prepared([ModelRow(self.tokenize(texts["text"], texts.get("text_pair")))])

    def finish(self, prepared: Prepared, options: Any) -> Any:
        """Gives the last hidden state."""
        return prepared.values[0]["last_hidden_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEmbeddingsOptions:
    """What can be chosen.

    Args:
        pooling: "first", the context token's vector; "mean" or "max", over all tokens, the special ones too.
        normalize: whether vectors get the length 1.
    """

    pooling: str = "mean"
    normalize: bool = False

    def __post_init__(self) -> None:
        check_flag("normalize", self.normalize)
        if self.pooling not in POOLINGS:
            raise InputError(one_of("pooling", self.pooling, tuple(POOLINGS)))


class SentenceEmbeddingsPipeline(FeatureExtractionPipeline):
    """Inputs: a text, or {"text", "text_pair"}. Results: float32 `[C]`, one vector for the text."""

    name = "sentence-embeddings"
    options_class = SentenceEmbeddingsOptions

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: SentenceEmbeddingsOptions) -> Any:
        """Makes one vector of the tokens'."""
        vector = POOLINGS[options.pooling](outputs["last_hidden_state"])
        return np.array(vector / np.linalg.norm(vector) if options.normalize else vector, dtype=np.float32)

    def finish(self, prepared: Prepared, options: SentenceEmbeddingsOptions) -> Any:
        """Gives the vector."""
        return prepared.values[0]
