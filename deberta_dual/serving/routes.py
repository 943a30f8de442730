"""The routes: each names a pipeline, its inputs and its options."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from deberta_dual.serving.errors import Refused
from deberta_dual.serving.model import EMBEDDINGS, Answers, ServedModel
from deberta_dual.serving.shapes import (
    AnswerBody,
    Body,
    CutBody,
    EmbedBody,
    ErrorAnswer,
    ExplainBody,
    FillBody,
    OpenAIBody,
    PredictBody,
    Prediction,
    Rank,
    RerankBody,
    SimilarityBody,
    Text,
    TokensBody,
    ZeroShotBody,
)
from deberta_dual.version import own_version

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "no such model"},
    413: {"model": ErrorAnswer, "description": "too many bytes"},
    422: {"model": ErrorAnswer, "description": "the request cannot be used"},
    424: {"model": ErrorAnswer, "description": "the model failed"},
    429: {"model": ErrorAnswer, "description": "too much waits; see Retry-After"},
    503: {"model": ErrorAnswer, "description": "not answered in time"},
}
ROUTES = APIRouter(responses=_ERRORS)


@ROUTES.post("/embed", summary="A vector for each text")
async def embed(request: Request, body: EmbedBody) -> list[list[float]]:
    """Vectors `[texts, C]`, pooled as the model's folder says, else the mean of the tokens' vectors."""
    model = _model(request, body.model)
    texts = _texts(model, body.inputs, body.prompt_name)
    found = await _answers(request, model, EMBEDDINGS, texts, _cut(request, body))
    return [vector.tolist() for vector in _vectors(found.results, body.dimensions, body.normalize)]


@ROUTES.post("/similarity", summary="How similar texts are to one text")
async def similarity(request: Request, body: SimilarityBody) -> list[float]:
    """The cosine of the angle between the vectors of `source_sentence` and of each of `sentences`."""
    model = _model(request, body.model)
    given: list[Text] = [body.inputs.source_sentence, *body.inputs.sentences]
    texts = _texts(model, given, body.prompt_name)
    found = await _answers(request, model, EMBEDDINGS, texts, _cut(request, body))
    vectors = _vectors(found.results, None, True)
    cosines: list[float] = (vectors[1:] @ vectors[0]).tolist()
    return cosines


@ROUTES.post("/predict", summary="Classes of texts or pairs")
async def predict(request: Request, body: PredictBody) -> list[Prediction] | list[list[Prediction]]:
    """The classes with their scores, the best first; a list of such for a batch, a list of lists."""
    is_batch, is_hub = isinstance(body.inputs, list) and isinstance(body.inputs[0], list), body.parameters is not None
    if is_hub and not is_batch and isinstance(body.inputs, list) and len(body.inputs) == 2:
        told = "two texts beside parameters could be a pair or a batch"
        raise Refused(f'inputs: {told}. Send [["a", "b"]] or [["a"], ["b"]].')
    if body.raw_scores and body.function_to_apply:
        raise Refused("raw_scores and function_to_apply are given. Give one of them.")
    given: Any = body.inputs if is_batch else [body.inputs]
    examples = [_pair(one) for one in given]
    options = {"top_k": body.top_k, **_scores(body.raw_scores), **_given(body, "function_to_apply")}
    model = _model(request, body.model)
    found = await _answers(request, model, "text-classification", examples, options | _cut(request, body))
    return found.results if is_batch or is_hub else found.results[0]


@ROUTES.post("/rerank", summary="Texts in the order of their scores for a query", response_model_exclude_none=True)
async def rerank(request: Request, body: RerankBody) -> list[Rank]:
    """The best first; `index` is a text's place in the request."""
    examples = [{"query": body.query, "document": text} for text in body.texts]
    options = {**_scores(body.raw_scores), **_cut(request, body)}
    found = await _answers(request, _model(request, body.model), "ranking", examples, options)
    ranks = [
        Rank(index=number, score=result["score"], text=body.texts[number] if body.return_text else None)
        for number, result in enumerate(found.results)
    ]
    return sorted(ranks, key=lambda rank: -rank.score)


@ROUTES.post("/", include_in_schema=False, response_model_exclude_none=True)
async def main_route(request: Request, body: dict[str, Any]) -> Any:
    """What the model is for, with the body of the route that it stands for."""
    name = body.get("model")
    route, shape = _main_route(_model(request, name if isinstance(name, str) else None), body)
    try:
        return await route(request, shape.model_validate(body))
    except ValidationError as problem:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in problem.errors()]
        raise RequestValidationError(errors, body=body) from None


@ROUTES.post("/tokens", summary="Entities of texts")
async def tokens(request: Request, body: TokensBody) -> Any:
    """Entities with their characters `start` to `end`; a list of such for a list of texts."""
    options = _given(body, "aggregation_strategy", "stride", "ignore_labels")
    return await _one_or_many(request, body.model, "token-classification", body.inputs, options)


@ROUTES.post("/answer", summary="Answers in a context")
async def answer(request: Request, body: AnswerBody) -> Any:
    """The answer with its score and its characters; a list of them with `top_k` above 1."""
    inputs = [one.model_dump() for one in body.inputs] if isinstance(body.inputs, list) else body.inputs.model_dump()
    names = "top_k", "max_answer_len", "handle_impossible_answer", "max_seq_len", "doc_stride", "max_question_len"
    options = _given(body, *names, "align_to_words")
    return await _one_or_many(request, body.model, "question-answering", inputs, options)


@ROUTES.post("/fill", summary="Words for masks")
async def fill(request: Request, body: FillBody) -> Any:
    """Predictions of the mask; a list of such for several masks, and for a list of texts."""
    options = {**_given(body, "top_k", "targets"), **_cut(request, body)}
    return await _one_or_many(request, body.model, "fill-mask", body.inputs, options)


@ROUTES.post("/zero-shot", summary="Classes that no model was trained for")
async def zero_shot(request: Request, body: ZeroShotBody) -> Any:
    """The classes with their scores, the best first; a list of such for a list of texts."""
    options = _given(body, "candidate_labels", "hypothesis_template", "multi_label")
    options |= _cut(request, body)
    found = await _one_or_many(request, body.model, "zero-shot-classification", body.inputs, options)
    if body.parameters is None:
        return found
    shown = [
        [{"label": label, "score": score} for label, score in zip(one["labels"], one["scores"], strict=True)]
        for one in (found if isinstance(found, list) else [found])
    ]
    return shown if isinstance(found, list) else shown[0]


@ROUTES.post("/explain", summary="Attention scores taken apart, and what each token did")
async def explain(request: Request, body: ExplainBody) -> dict[str, Any]:
    """One head of one layer, and one number of the outputs; see `deberta_dual.explain`."""
    model = _model(request, body.model)
    async with _in_time(request):
        return await model.explain(**body.model_dump(exclude={"model"}))


@ROUTES.post("/embeddings", include_in_schema=False)
@ROUTES.post("/v1/embeddings", summary="Vectors, as OpenAI's clients ask for them")
async def openai_embeddings(request: Request, body: OpenAIBody) -> dict[str, Any]:
    """Vectors of length 1, as lists or as base64 of little-endian float32."""
    model = _model(request, body.model)
    found = await _answers(request, model, EMBEDDINGS, _texts(model, body.input, None), _cut(request))
    vectors = _vectors(found.results, body.dimensions, True)
    shown = [
        vector.tolist()
        if body.encoding_format == "float"
        else base64.b64encode(vector.astype("<f4").tobytes()).decode()
        for vector in vectors
    ]
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(shown)]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return {"object": "list", "data": data, "model": model.name, "usage": usage}


@ROUTES.get("/v1/models", summary="The models, as OpenAI's clients list them")
async def openai_models(request: Request) -> dict[str, Any]:
    """Their names."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "deberta"} for name in request.app.state.models]
    return {"object": "list", "data": data}


@ROUTES.get("/info", summary="What a model is, and the limits")
async def info(request: Request, model: str | None = None) -> dict[str, Any]:
    """By the names of text-embeddings-inference, and `models`, all names."""
    served, settings = _model(request, model), request.app.state.settings
    return {
        "model_id": served.name,
        "model_sha": None,
        "model_dtype": str(served.main.dtype or settings.dtype or "float32").removeprefix("torch."),
        "served_model_name": served.name,
        "model_type": _model_type(served),
        "max_concurrent_requests": settings.max_waiting_tokens,
        "max_input_length": served.main.max_length,
        "max_batch_tokens": served.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_texts,
        "auto_truncate": settings.truncate,
        "tokenization_workers": 1,
        "version": own_version(),
        "sha": None,
        "docker_label": None,
        "models": list(request.app.state.models),
    }


@ROUTES.get("/health", summary="Whether the server answers")
async def health() -> Response:
    """An empty answer with status 200."""
    return Response()


@ROUTES.get("/metrics", summary="Counters in Prometheus' text format")
async def metrics(request: Request) -> Response:
    """Requests, batches, and what waits."""
    return Response(request.app.state.measures.text(), media_type="text/plain; version=0.0.4")


def _model(request: Request, name: str | None) -> ServedModel:
    models: dict[str, ServedModel] = request.app.state.models
    if name is not None and name not in models:
        raise Refused(f"there is no model {name!r:.100}. There are: {', '.join(models)}.", "Unknown")
    model = next(iter(models.values())) if name is None else models[name]
    request.scope.setdefault("state", {})["model"] = model.name
    return model


@asynccontextmanager
async def _in_time(request: Request) -> AsyncIterator[None]:
    seconds = request.app.state.settings.timeout
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        text = f"not answered within {seconds:g} s. Send fewer or shorter texts, or try again later."
        raise Refused(text, "Unhealthy", 1) from None


async def _answers(
    request: Request,
    model: ServedModel,
    task: str,
    inputs: Sequence[Any],
    options: Mapping[str, Any],
) -> Answers:
    settings, state = request.app.state.settings, request.scope["state"]
    if len(inputs) > settings.max_texts:
        raise Refused(f"the request has {len(inputs)} texts, and no more than {settings.max_texts} may be. Send fewer.")
    async with _in_time(request):
        found = await model.answer(task, inputs, options)
    state["texts"], state["tokens"] = len(inputs), found.tokens
    return found


async def _one_or_many(request: Request, name: str | None, task: str, inputs: Any, options: Mapping[str, Any]) -> Any:
    several = isinstance(inputs, list)
    found = await _answers(request, _model(request, name), task, inputs if several else [inputs], options)
    return found.results if several else found.results[0]


def _given(body: Body, *names: str) -> dict[str, Any]:
    """Options of a pipeline that a request has."""
    return {name: value for name in names if (value := getattr(body, name)) is not None}


def _scores(raw: bool) -> dict[str, Any]:
    """The option of a pipeline for what becomes of logits."""
    return {"function_to_apply": "none"} if raw else {}


def _cut(request: Request, body: CutBody | None = None) -> dict[str, Any]:
    """The options of a pipeline for texts that are too long."""
    default: bool = request.app.state.settings.truncate
    if body is None:
        return {"truncation": default}
    truncate = default if body.truncate is None else body.truncate
    return {"truncation": truncate, "truncation_side": body.truncation_direction.lower()}


def _pair(given: str | list[str]) -> Any:
    if isinstance(given, str):
        return given
    return given[0] if len(given) == 1 else {"text": given[0], "text_pair": given[1]}


def _texts(model: ServedModel, inputs: Text | list[Text], prompt: str | None) -> list[str]:
    """One input or several, of texts or of ids, as texts."""
    is_one = isinstance(inputs, str) or isinstance(inputs[0], int)
    given: Any = [inputs] if is_one else inputs
    if prompt is not None and prompt not in model.prompts:
        known = ", ".join(model.prompts) or "none"
        raise Refused(f"prompt_name={prompt!r:.100} is unknown. The model's prompts are: {known}.")
    before = "" if prompt is None else model.prompts[prompt]
    tokenizer = model.main.tokenizer
    for one in given:
        if not isinstance(one, str) and not all(0 <= number < len(tokenizer) for number in one):
            raise Refused(f"ids of tokens must be from 0 to {len(tokenizer) - 1}.")
    return [before + (one if isinstance(one, str) else tokenizer.decode(one)) for one in given]


def _vectors(results: Sequence[Any], dimensions: int | None, normalize: bool) -> Any:
    vectors = np.stack(results)
    if dimensions is not None:
        if dimensions > vectors.shape[1]:
            raise Refused(f"dimensions={dimensions} is more than the {vectors.shape[1]} of the model.")
        vectors = vectors[:, :dimensions]
    if normalize:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors


def _model_type(model: ServedModel) -> dict[str, Any]:
    """As text-embeddings-inference says it: a classifier with its classes, a reranker, or what makes vectors."""
    config = model.main.arrays.config
    labels = {str(number): label for number, label in (config.id2label or {}).items()}
    numbers = {label: int(number) for number, label in labels.items()}
    if model.head == "sequence_classification":
        kind = "reranker" if config.num_labels == 1 else "classifier"
        return {kind: {"id2label": labels, "label2id": numbers}}
    if model.head is None:
        return {"embedding": {"pooling": model.pipeline(EMBEDDINGS).options.pooling}}
    return {"other": {"task": model.main.task}}


# What `POST /` is, by the task of the head: to Hugging Face's Inference API, and to text-embeddings-inference.
_HUB_ROUTES: dict[str | None, tuple[Any, type[Body]]] = {
    "sequence_classification": (predict, PredictBody),
    "token_classification": (tokens, TokensBody),
    "question_answering": (answer, AnswerBody),
    "masked_lm": (fill, FillBody),
}
_KIND_ROUTES: dict[str, tuple[Any, type[Body]]] = {
    "classifier": (predict, PredictBody),
    "reranker": (rerank, RerankBody),
}


def _main_route(model: ServedModel, body: Mapping[str, Any]) -> tuple[Any, type[Body]]:
    """The route that `POST /` stands for, and its body: Hugging Face's clients send `parameters`, others do not."""
    embedding = (similarity, SimilarityBody) if isinstance(body.get("inputs"), dict) else (embed, EmbedBody)
    parameters = body.get("parameters")
    if not isinstance(parameters, dict):
        (kind,) = _model_type(model)
        return _KIND_ROUTES.get(kind, embedding)
    if "candidate_labels" in parameters:
        return zero_shot, ZeroShotBody
    return _HUB_ROUTES.get(model.head, embedding)
