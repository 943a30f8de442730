"""`explain`: one text, one layer, one head of a model, and one number of its outputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import InputError
from deberta_core.explanations import check_layer
from deberta_dual.backends import explaining_backend
from deberta_dual.explaining.targets import Target, find_target
from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.checkpoint_heads import find_model_task
from deberta_dual.pipelines.factory import pipeline
from deberta_dual.pipelines.features import FeatureExtractionPipeline

# Numbers of an explanation have so many decimals in JSON: it holds several for each pair of tokens.
_DECIMALS = 6
# A longer text is refused: nobody can look at more, and the numbers grow with the square.
MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text.

    Args:
        text: as the vocabulary has it.
        part: 0 for the first text, 1 for the second; None for special tokens.
        start: its first character in its text; None for special tokens.
        end: the character after its last.
    """

    text: str
    part: int | None
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model answers as it does.

    Attributes:
        tokens: of the text, special ones too.
        layer: counted from 0.
        head: counted from 0.
        layers: how many the model has.
        heads: how many this layer has.
        content: content-to-content scores `[L, L]`, a row for each query.
        c2p: content-to-position `[L, L]`; None where the model has no such term.
        p2c: position-to-content `[L, L]`; likewise.
        scores: the sum of these three, before mask and softmax.
        probabilities: after them.
        distances: key - query, `1 - L` to `L - 1`.
        rows: the row of the relative table for each distance; None without relative attention.
        c2p_by_distance: what each query would add at each distance, `[L, 2 L - 1]`.
        p2c_by_distance: the same of each key.
        target: the number that is attributed; None where the model has no head.
        attributions: what each token did to it, against masked tokens, `[L]`; None without a target.
        value: of the target, for the text.
        baseline_value: of the target, with all tokens masked but special ones.
        answer: of the model's pipeline.
    """

    tokens: list[Token]
    layer: int
    head: int
    layers: int
    heads: int
    content: NDArray[Any]
    c2p: NDArray[Any] | None
    p2c: NDArray[Any] | None
    scores: NDArray[Any]
    probabilities: NDArray[Any]
    distances: NDArray[Any]
    rows: NDArray[Any] | None
    c2p_by_distance: NDArray[Any] | None
    p2c_by_distance: NDArray[Any] | None
    target: Target | None
    attributions: NDArray[Any] | None
    value: float | None
    baseline_value: float | None
    answer: Any

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON has it: lists for arrays, six decimals."""
        found = {name: getattr(self, name) for name in self.__slots__}
        found = {name: _plain(value) for name, value in found.items()}
        tokens = [asdict(token) for token in self.tokens]
        return found | {"tokens": tokens, "target": None if self.target is None else asdict(self.target)}


def explain(
    model: Any,
    text: str,
    text_pair: str | None = None,
    *,
    layer: int = -1,
    head: int = 0,
    target: str | None = None,
    token: int | None = None,
    steps: int = 32,
    framework: str | None = None,
    device: Any = None,
) -> Explanation:
    """Explains what a model makes of a text.

    Args:
        model: a checkpoint folder, a hub id, or a pipeline.
        text: what the model reads; of question answering the question.
        text_pair: the second text; of question answering the context, of multiple choice one choice.
        layer: whose attention is taken apart, from 0; negative counts from the end.
        head: of that layer, from 0; negative counts from the end.
        target: the class, or the word at a mask, whose score is attributed to the tokens; of question answering "start"
            or "end"; None: what the model finds likeliest.
        token: for which token, where the head answers for each; None: the one that matters most.
        steps: points of the integral; the more, the nearer the attributions add up.
        framework: "torch" or "tf", for a model that is loaded.
        device: where to, likewise.

    Raises:
        InputError: the text is too long, or there is no such layer, head, class or token; or a choice is missing;
            or the model is a graph, or several that are averaged.
        DebertaError: see `pipeline`.
    """
    run: Pipeline = _loaded(model, framework, device) if isinstance(model, str | Path) else model
    if isinstance(run.model, tuple):
        raise InputError(
            f"{len(run.model)} models are averaged, and each has its own attention. Explain one model alone."
        )
    backend = explaining_backend(run.framework)
    encoding = run.tokenizer(text, text_pair, return_offsets_mapping=True, verbose=False)
    ids: list[int] = encoding["input_ids"]
    limit = min(run.max_length, MAX_TOKENS)
    if len(ids) > limit:
        raise InputError(f"the text has {len(ids)} tokens, and {limit} can be explained at once. Give a shorter one.")
    config = run.arrays.config
    number = check_layer(config, layer)
    inputs = run.model_inputs(encoding)
    arrays = {name: np.array([values], dtype=np.int64) for name, values in inputs.items()}
    if run.model_task == "multiple_choice":
        if text_pair is None:
            raise InputError("text_pair is missing. Give the choice that is to be explained.")
        arrays = {name: values[:, None] for name, values in arrays.items()}  # [1, 1, L]: one text, one choice
    parts = backend.score_parts(run.model, number, arrays)
    heads = parts.content.shape[1]
    if not -heads <= head < heads:
        raise InputError(f"head={head}, but layer {number} has heads 0 to {heads - 1}.")
    asked = find_target(run, inputs, target, token)
    attributions = None
    if asked is not None:
        special = np.isin(arrays["input_ids"], run.tokenizer.all_special_ids)
        masked = np.where(special, arrays["input_ids"], _mask_id(run))
        given = {**arrays, "baseline_ids": masked}
        attributions = backend.integrated_gradients(run.model, asked.output, asked.index, given, steps)

    def of_head(values: Any) -> Any:
        return None if values is None else np.asarray(values, dtype=np.float64)[0, head]

    return Explanation(
        tokens=_tokens(run, encoding),
        layer=number,
        head=head % heads,
        layers=config.num_hidden_layers,
        heads=heads,
        content=of_head(parts.content),
        c2p=of_head(parts.c2p),
        p2c=of_head(parts.p2c),
        scores=of_head(parts.scores),
        probabilities=of_head(parts.probabilities),
        distances=np.arange(1 - len(ids), len(ids)),
        rows=parts.rows,
        c2p_by_distance=of_head(parts.c2p_by_distance),
        p2c_by_distance=of_head(parts.p2c_by_distance),
        target=asked,
        attributions=None if attributions is None else np.asarray(attributions.tokens, dtype=np.float64).ravel(),
        value=None if attributions is None else float(attributions.value[0]),
        baseline_value=None if attributions is None else float(attributions.baseline_value[0]),
        answer=_answer(run, text, text_pair),
    )


class DiscriminatorPipeline(FeatureExtractionPipeline):
    """A model that detects replaced tokens, to be explained: no task of pipelines is for it, and it answers nothing."""

    model_task = "replaced_token"


def _loaded(model: str | Path, framework: str | None, device: Any) -> Pipeline:
    """A checkpoint as the pipeline of its head, or of none."""
    without = {None: FeatureExtractionPipeline, DiscriminatorPipeline.model_task: DiscriminatorPipeline}
    cls = without.get(find_model_task(checkpoint_folder(model)))
    task = None if cls is None else cls.task
    made: Pipeline = pipeline(task, model, framework=framework, device=device, pipeline_class=cls)
    return made


# How a pipeline is asked for its whole answer.
_ASKED: dict[str, dict[str, Any]] = {
    "text-classification": {"top_k": None},
    "token-classification": {"aggregation_strategy": "simple"},
}


def _answer(run: Pipeline, text: str, text_pair: str | None) -> Any:
    if run.task == "question-answering":
        return run({"question": text, "context": text_pair})
    if run.task not in (*_ASKED, "fill-mask"):
        return None
    example: Any = text if text_pair is None else {"text": text, "text_pair": text_pair}
    found = run(example, **_ASKED.get(run.task, {}))
    return found


def _tokens(run: Pipeline, encoding: Any) -> list[Token]:
    pieces = run.tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    parts = encoding.sequence_ids(0)
    return [
        Token(piece, part, *((None, None) if part is None else map(int, span)))
        for piece, part, span in zip(pieces, parts, encoding["offset_mapping"], strict=True)
    ]


def _mask_id(run: Pipeline) -> int:
    tokenizer = run.tokenizer
    return int(tokenizer.pad_token_id or 0 if tokenizer.mask_token_id is None else tokenizer.mask_token_id)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, np.ndarray):
        return np.round(value, _DECIMALS).tolist()
    return round(value, _DECIMALS) if isinstance(value, float) else value
