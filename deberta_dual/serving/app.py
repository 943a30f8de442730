"""The server as an application of ASGI: models, routes, errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from deberta_dual.explaining.page import page
from deberta_dual.serving.errors import Refused
from deberta_dual.serving.guard import LOG, App, Guard
from deberta_dual.serving.measures import Measures
from deberta_dual.serving.model import ServedModel
from deberta_dual.serving.routes import ROUTES
from deberta_dual.serving.settings import ServeSettings
from deberta_dual.serving.threads import Threads
from deberta_dual.version import own_version

_SUMMARY = "DeBERTa models: classes, entities, answers, vectors, scores of pairs, words for masks."


def make_app(settings: ServeSettings) -> App:
    """Loads the models, and makes the application that answers for them.

    Args:
        settings: which models, and the limits.

    Raises:
        DebertaError: a model cannot be loaded, see `pipeline`.
    """
    models: dict[str, ServedModel] = {}
    measures = Measures(lambda: sum(model.waiting for model in models.values()))
    threads = Threads(settings.workers)
    models |= {
        name: ServedModel(model, settings, measures.batch, threads)
        for name, model in zip(settings.names, settings.models, strict=True)
    }

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models.values():
            model.close()
        threads.close()

    app = FastAPI(title="deberta serve", version=own_version(), description=_SUMMARY, lifespan=life)
    app.state.models, app.state.settings, app.state.measures = models, settings, measures
    app.include_router(ROUTES)
    if settings.page:
        app.add_api_route("/", lambda: HTMLResponse(page()), include_in_schema=False)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    guarded = Guard(app, settings, measures)
    if not settings.cors_origins:
        return guarded
    origins = list(settings.cors_origins)
    return CORSMiddleware(guarded, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])


def _refused(request: Request, problem: Any) -> JSONResponse:
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return _answer(request, problem.status, str(problem), problem.kind, headers)


def _invalid(request: Request, problem: Any) -> JSONResponse:
    found = problem.errors()
    first = next((one for one in found if not one["type"].endswith("_type")), found[0])  # not only of the wrong type
    if first["type"] == "json_invalid":
        return _answer(request, 400, f"the body is no JSON: {first['ctx']['error']}.", "Validation")
    place = ".".join(str(part) for part in first["loc"][1:] if not _is_type(part)) or "the body"
    return _answer(request, 422, f"{place}: {first['msg'].removeprefix('Value error, ')}.", "Validation")


def _is_type(part: Any) -> bool:
    """Whether a part of a place is the name of a type that was tried, not of a field."""
    return isinstance(part, str) and (not part.isidentifier() or part in ("str", "list", "Question"))


def _not_found(request: Request, problem: Any) -> JSONResponse:
    known = ", ".join(sorted(path for path in request.app.openapi()["paths"]))
    texts = {
        400: "the body cannot be read. Send JSON in UTF-8, of a few levels and with numbers of a few digits.",
        404: f"there is no such route. There are: {known}.",
        405: "the method is wrong for this route.",
    }
    return _answer(request, problem.status_code, texts.get(problem.status_code, str(problem.detail)), "Validation")


def _failed(request: Request, problem: Exception) -> JSONResponse:
    LOG.error(json.dumps("the request failed"), exc_info=problem)
    return _answer(request, 500, "the server failed; its log says why.", "Backend")


def _answer(request: Request, status: int, text: str, kind: str, headers: dict[str, str] | None = None) -> JSONResponse:
    request.scope.setdefault("state", {})["error"] = text
    if request.url.path.startswith("/v1/"):  # as OpenAI's clients read it
        return JSONResponse({"message": text, "code": status, "type": kind}, status, headers)
    return JSONResponse({"error": text, "error_type": kind}, status, headers)
