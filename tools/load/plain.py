"""The peer: a server of FastAPI and transformers as their documentation shows it, run in an environment that has both.

transformers' guide "Web server inference" has one task that takes texts from a queue and runs a pipeline: one text at
a time ("queue"), or what came within a millisecond ("batches"). FastAPI's own guide runs the pipeline in a thread for
each request ("threads"). `python plain.py MODEL --port 9000 --way queue`
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

_WINDOW = 0.001  # seconds, of that guide


class Given(BaseModel):
    """A text."""

    inputs: str


def make_app(model: str, way: str) -> FastAPI:
    """The application.

    Args:
        model: a checkpoint folder.
        way: "queue", "batches" or "threads".
    """
    run = pipeline("text-classification", model=model, top_k=None, truncation=True, max_length=512)
    waiting: asyncio.Queue[tuple[str, asyncio.Queue[Any]]] = asyncio.Queue()

    async def one_by_one() -> None:
        while True:
            text, answers = await waiting.get()
            await answers.put(await asyncio.to_thread(run, text))  # "block the main thread" says to use a thread

    async def in_batches() -> None:
        while True:
            taken = [await waiting.get()]
            while True:
                try:
                    taken.append(await asyncio.wait_for(waiting.get(), _WINDOW))
                except TimeoutError:
                    break
            found = await asyncio.to_thread(run, [text for text, _ in taken], batch_size=len(taken))
            for (_, answers), one in zip(taken, found, strict=True):
                await answers.put(one)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(in_batches() if way == "batches" else one_by_one())
        yield
        task.cancel()

    app = FastAPI(lifespan=life)

    if way == "threads":

        @app.post("/predict")
        def predict_in_a_thread(body: Given) -> Any:
            return run(body.inputs)

    else:

        @app.post("/predict")
        async def predict(body: Given) -> Any:
            answers: asyncio.Queue[Any] = asyncio.Queue()
            await waiting.put((body.inputs, answers))
            return await answers.get()

    @app.get("/health")
    async def health() -> None:
        return None

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--way", choices=["queue", "batches", "threads"], default="queue")
    given = parser.parse_args()
    print(torch.__version__, torch.get_num_threads(), flush=True)
    uvicorn.run(make_app(given.model, given.way), port=given.port, log_level="warning")
