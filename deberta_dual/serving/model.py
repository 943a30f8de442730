"""A model that is served: its tokenizer, its pipelines, and the batches they share."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import DebertaError, InputError
from deberta_core.files import read_json
from deberta_core.layout import SENTENCES_FILE
from deberta_core.limits import raised
from deberta_core.tasks import task_spec
from deberta_core.tokenization.lengths import LongWindows
from deberta_dual.explaining.explanation import DiscriminatorPipeline, explain
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.checkpoint_heads import find_model_task
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.serving.batching import Batcher, Observe
from deberta_dual.serving.errors import Refused, refusal_of
from deberta_dual.serving.settings import ServeSettings, members_of, name_of
from deberta_dual.serving.threads import Threads

EMBEDDINGS = "sentence-embeddings"
# Tokens in a batch: on a CPU a product of so many rows is as quick per row as a larger one.
CPU_TOKENS, OTHER_TOKENS = 1024, 16384
# Heads of which no route makes anything, and what explains them: such a model is loaded without its head.
_ONLY_EXPLAINED: Mapping[str | None, type[Pipeline]] = {DiscriminatorPipeline.model_task: DiscriminatorPipeline}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model made of the inputs of a request.

    Args:
        results: one for each input, in order.
        tokens: that were read.
    """

    results: list[Any]
    tokens: int


class ServedModel:
    """A checkpoint, loaded once, and the pipelines that its head allows.

    Args:
        source: a checkpoint folder or a hub id; or several, which answer as one.
        settings: of the server.
        observe: told of every batch.
        threads: in which models compute.

    Attributes:
        name: what requests call it.
        main: the pipeline of its head.
        prompts: texts to be put before an input, by name, as sentence-transformers keeps them.

    Raises:
        DebertaError: see `pipeline`.
    """

    def __init__(
        self, source: str | tuple[str, ...], settings: ServeSettings, observe: Observe, threads: Threads
    ) -> None:
        self.name, self._settings, self._observe, self._threads = name_of(source), settings, observe, threads
        self._folders = [checkpoint_folder(one) for one in members_of(source)]
        self._head = find_model_task(self._folders[0])
        task = next((name for name, cls in PIPELINES.items() if cls.model_task == self._head), EMBEDDINGS)
        self.main: Pipeline = self._load(EMBEDDINGS if self._head is None else task)
        self.prompts = _prompts(self._folders[0])
        self._pipelines: dict[str, Pipeline] = {self.main.task: self.main}
        self._batchers: dict[str | None, Batcher] = {}
        self._lock = threading.Lock()

    @property
    def head(self) -> str | None:
        """The task of the model's head, a name of `deberta_core.tasks.TASKS`."""
        return self._head

    @property
    def max_batch_tokens(self) -> int:
        """How many tokens a batch has."""
        return self._settings.max_batch_tokens or (CPU_TOKENS if self._on_cpu else OTHER_TOKENS)

    @property
    def _on_cpu(self) -> bool:
        return self.main.device is None or "cpu" in str(self.main.device).lower()

    @property
    def waiting(self) -> int:
        """How many tokens wait."""
        return sum(batcher.waiting for batcher in list(self._batchers.values()))

    async def answer(self, task: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Answers:
        """Answers the inputs of one request.

        Args:
            task: a name of `PIPELINES`.
            inputs: as its pipeline takes them.
            options: of the pipeline.

        Raises:
            Refused: the model does not do this, an input or an option cannot be used, the model would read more tokens
                than a request may have bytes, or too much waits.
        """
        run, prepared, used = await asyncio.to_thread(_told(self._prepare), task, inputs, options)
        rows = [row for one in prepared for row in one.rows]
        outputs = await asyncio.wrap_future(self._batcher(run).submit(rows))
        results = await asyncio.to_thread(_told(_finish), run, prepared, outputs, used)
        return Answers(results, sum(map(len, rows)))

    async def explain(self, **arguments: Any) -> dict[str, Any]:
        """Explains a text; one at a time.

        Args:
            **arguments: of `deberta_dual.explain`.

        Raises:
            Refused: an argument cannot be used.
        """

        def run() -> dict[str, Any]:
            return explain(self._explained(), **arguments).to_dict()

        return await asyncio.wrap_future(self._threads.explanations.submit(_told(run)))

    def close(self) -> None:
        """Answers what was taken, and stops."""
        for batcher in self._batchers.values():
            batcher.close()

    def pipeline(self, task: str) -> Pipeline:
        """The pipeline of a task, made when it is first asked for.

        Raises:
            Refused: the model's head is that of another task.
        """
        with self._lock:
            if task not in self._pipelines:
                self._pipelines[task] = self._make(task)
            return self._pipelines[task]

    def _prepare(
        self, task: str, inputs: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[Pipeline, list[Prepared], Any]:
        run = self.pipeline(task)
        used = run.read_options(options, run.options)
        run.check_model(used)
        prepared: list[Prepared] = []
        left = most = self._settings.max_body
        too_much = InputError(
            f"the model would read more than {most} tokens: long texts are read in windows, and a text again for each "
            f"class of zero-shot. Send fewer or shorter texts, fewer classes, or windows that share less."
        )
        for number, example in enumerate(inputs):
            try:
                with raised(windows=most):
                    prepared.append(_checked(run, run.prepare(example, used), used))
            except LongWindows:
                raise too_much from None
            except DebertaError as problem:
                if len(inputs) == 1:
                    raise
                raise type(problem)(f"input {number}: {problem}") from problem
            left -= sum(map(len, prepared[-1].rows))
            if left < 0:
                raise too_much
        return run, prepared, used

    def _make(self, task: str) -> Pipeline:
        cls = PIPELINES[task]
        if cls.model_task not in (None, self._head):
            raise Refused(
                f"the model {self.name!r} does not do {task}: it is one for {task_spec(self._head).name}, and {task} "
                f"needs one for {task_spec(cls.model_task).name}."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a request may do is no warning for the log
            if cls.model_task != self._head and not hasattr(self.main.model, "deberta"):  # a graph has one head
                return self._load(task)
            options = {**cls.folder_options(self._folders[0]), **self._lengths()}
            made: Pipeline = cls(self.main.model, self.main.tokenizer, **options)
            return made

    def _explained(self) -> Pipeline:
        """What has the model's head; of a head that nothing else needs it is loaded when it is first asked for."""
        cls = _ONLY_EXPLAINED.get(self._head)
        if cls is None:
            return self.main
        with self._lock:
            if cls.task not in self._pipelines:
                self._pipelines[cls.task] = self._load(cls.task, cls)
            return self._pipelines[cls.task]

    def _load(self, task: str, cls: type[Pipeline] | None = None) -> Pipeline:
        made: Pipeline = pipeline(task, list(map(str, self._folders)), pipeline_class=cls, **self._options())
        return made

    def _batcher(self, run: Pipeline) -> Batcher:
        with self._lock:
            if run.model_task not in self._batchers:
                settings, pad = self._settings, run.tokenizer.pad_token_id or 0
                limits = self.max_batch_tokens, settings.max_waiting_tokens
                at_once = self._threads.at_once if self._on_cpu else 1
                self._batchers[run.model_task] = Batcher(
                    self._threads.batches, at_once, run.arrays, pad, *limits, self._observe, settings.timeout
                )
            return self._batchers[run.model_task]

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        about = {"framework": settings.framework, "device": settings.device, "dtype": settings.dtype}
        return {**about, **self._lengths()}

    def _lengths(self) -> dict[str, Any]:
        return {} if self._settings.max_length is None else {"max_length": self._settings.max_length}


def _checked(run: Pipeline, prepared: Prepared, options: Any) -> Prepared:
    """Refuses what is too long where nothing is cut."""
    longest, limit = max(map(len, prepared.rows)), run.limit(options)
    if longest > limit and getattr(options, "truncation", None) is False:
        raise InputError(f"the text has {longest} tokens, and the model reads {limit}. Shorten it, or send truncate.")
    return prepared


def _finish(run: Pipeline, prepared: Sequence[Prepared], outputs: Sequence[Any], options: Any) -> list[Any]:
    of_rows = iter(outputs)
    for one in prepared:
        one.values = [run.reduce(one, row, next(of_rows), options) for row in range(len(one.rows))]
    return [run.finish(one, options) for one in prepared]


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose errors of ours are refusals."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except DebertaError as problem:
            raise refusal_of(problem) from problem

    return call


def _prompts(folder: Path) -> dict[str, str]:
    """The prompts of sentence-transformers in a folder; none where it has none."""
    file = folder / SENTENCES_FILE
    prompts = read_json(file, InputError, "Copy it again.").get("prompts") if file.is_file() else None
    return prompts if isinstance(prompts, dict) else {}
