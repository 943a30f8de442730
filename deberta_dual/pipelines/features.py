"""What the backbone makes of texts: a vector for each token, or one for the whole text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deberta_core.errors import InputError, one_of
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_flag, read_pair
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.sentence_modules import POOLINGS, module_options, write_modules

_PADDINGS = (False, True, "longest", "max_length", "do_not_pad")
_KINDS = (False, True, "np", "pt", "tf")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureExtractionOptions(TextOptions):
    """What can be chosen.

    Args:
        return_tensors: False: lists of floats; True, "pt" or "tf": a tensor of the model's framework; "np": an array.
        padding: "max_length" fills every row up, and gives vectors of padding, too; others change nothing.
    """

    return_tensors: bool | str = False
    padding: bool | str = False

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        for name, allowed in (("return_tensors", _KINDS), ("padding", _PADDINGS)):
            if getattr(self, name) not in allowed:
                raise InputError(one_of(name, getattr(self, name), [str(one) for one in allowed]))


class FeatureExtractionPipeline(Pipeline):
    """Inputs: a text, or a pair as in text classification. Results: `[1, L, C]`, a vector for each token.

    The special tokens are among them. Any checkpoint has a backbone.
    """

    task = "feature-extraction"
    model_task: ClassVar[str | None] = None
    nested = "tokenize_kwargs"
    options_class: ClassVar[type[Any]] = FeatureExtractionOptions

    def check_model(self, options: FeatureExtractionOptions) -> None:
        """Raises InputError if tensors of another framework are asked for."""
        super().check_model(options)
        if options.return_tensors not in (False, True, "np", {"torch": "pt"}.get(str(self.framework), self.framework)):
            raise InputError(f"return_tensors={options.return_tensors!r}, but the model is one of {self.framework!r}.")

    def prepare(self, example: Any, options: FeatureExtractionOptions) -> Prepared:
        """Makes one row of a text or a pair."""
        texts = read_pair(example)
        inputs = self.tokenize(texts["text"], texts.get("text_pair"), options)
        if options.padding == "max_length":
            inputs = self.model_inputs(self.tokenizer.pad(inputs, padding="max_length", max_length=self.limit(options)))
        return Prepared([ModelRow(inputs)])

    def finish(self, prepared: Prepared, options: FeatureExtractionOptions) -> Any:
        """Gives the last hidden state."""
        hidden = prepared.values[0]["last_hidden_state"][None]
        backend = self._given.backend
        if options.return_tensors is False:
            return hidden.tolist()
        return hidden if options.return_tensors == "np" or backend is None else backend.tensor(hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEmbeddingsOptions(TextOptions):
    """What can be chosen; a folder of sentence-transformers sets other defaults.

    Args:
        pooling: "first", the context token's vector; "mean", "weighted" (a mean in which a token weighs as much as its
            place, from 1) or "max", over all tokens, the special ones too.
        normalize: whether vectors get the length 1.
    """

    pooling: str = "mean"
    normalize: bool = False

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        check_flag("normalize", self.normalize)
        if self.pooling not in POOLINGS:
            raise InputError(one_of("pooling", self.pooling, tuple(POOLINGS)))


class SentenceEmbeddingsPipeline(Pipeline):
    """Inputs: a text, or a pair as in text classification. Results: float32 `[C]`, one vector for the text."""

    task = "sentence-embeddings"
    model_task = None
    options_class = SentenceEmbeddingsOptions

    @classmethod
    def folder_options(cls, folder: str | Path, **hub_options: Any) -> dict[str, Any]:
        """What the files of sentence-transformers say: pooling, normalization and the length of a text."""
        return module_options(folder, **hub_options)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Saves the model, its tokenizer, and the modules of sentence-transformers with the options of the pipeline."""
        super().save_pretrained(folder, **options)
        own: SentenceEmbeddingsOptions = self.options
        length, width = self.limit(own), self.arrays.config.hidden_size
        write_modules(folder, width, own.pooling, normalize=own.normalize, max_length=length)

    def prepare(self, example: Any, options: Any) -> Prepared:
        """Makes one row of a text or a pair."""
        texts = read_pair(example)
        return Prepared([ModelRow(self.tokenize(texts["text"], texts.get("text_pair"), options))])

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: SentenceEmbeddingsOptions) -> Any:
        """Makes one vector of the tokens'."""
        vector = POOLINGS[options.pooling](outputs["last_hidden_state"])
        return np.array(vector / np.linalg.norm(vector) if options.normalize else vector, dtype=np.float32)

    def finish(self, prepared: Prepared, options: SentenceEmbeddingsOptions) -> Any:
        """Gives the vector."""
        return prepared.values[0]
