"""`pipeline`: the pipeline of a task, around a model that is loaded or given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import InputError, one_of
from deberta_core.hub import split_hub_options
from deberta_dual.backends import Backend, choose_framework, get_backend, owner
from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.checkpoint_heads import check_head
from deberta_dual.pipelines.features import FeatureExtractionPipeline, SentenceEmbeddingsPipeline
from deberta_dual.pipelines.fill_mask import FillMaskPipeline
from deberta_dual.pipelines.multiple_choice import MultipleChoicePipeline
from deberta_dual.pipelines.question_answering import QuestionAnsweringPipeline
from deberta_dual.pipelines.text_classification import TextClassificationPipeline
from deberta_dual.pipelines.token_classification import TokenClassificationPipeline
from deberta_dual.pipelines.zero_shot import ZeroShotClassificationPipeline

PIPELINES: dict[str, type[Pipeline]] = {
    cls.name: cls
    for cls in (
        TextClassificationPipeline,
        ZeroShotClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        FillMaskPipeline,
        MultipleChoicePipeline,
        FeatureExtractionPipeline,
        SentenceEmbeddingsPipeline,
    )
}


def pipeline(
    task: str,
    model: Any,
    tokenizer: Any = None,
    framework: str | None = None,
    device: Any = None,
    dtype: Any = None,
    batch_size: int = 32,
    *,
    max_length: int | None = None,
    **options: Any,
) -> Any:
    """Makes the pipeline of a task.

    A model that is loaded here and computes on the CPU is optimised there (`deberta_torch.optimize`); a model object
    is used as it is.

    Args:
        task: a name of `PIPELINES`.
        model: a checkpoint folder, a hub id, or a model object of `deberta_torch` or `deberta_tf`.
        tokenizer: a tokenizer, a folder with one, or a hub id; None: that of the model's folder or repository.
        framework: "torch" or "tf", for a model that is loaded; None: what is installed, PyTorch first.
        device: where a model is loaded to; None: the best device there is. For a Keras object, where it computes.
        dtype: what a loaded model computes in; None: float32. Half precision goes by the framework's names; on the CPU
            PyTorch also has "int8".
        batch_size: rows in a batch, at most.
        max_length: of a row, in tokens; None: the model's own limit.
        **options: those of the task, the defaults of every call; and for a hub id `revision`, `cache_dir`,
            `local_files_only`, `token` and `force_download`.

    Raises:
        InputError: an argument has a value it cannot have, or a framework is missing.
        WeightError: the checkpoint has no head for this task, or does not fit.
        ConfigError: config.json is missing or wrong.
        TokenizationError: the tokenizer's files are missing or wrong.
    """
    if task not in PIPELINES:
        raise InputError(one_of("task", task, tuple(PIPELINES)))
    cls = PIPELINES[task]
    hub, options = split_hub_options(options)
    cls.read_options(options)  # what is quickly checked comes before a model is loaded
    is_name = isinstance(model, str | Path)
    if is_name:
        folder = checkpoint_folder(model, **hub)
        check_head(folder, cls.name, cls.task)
        beside = folder.parent if folder.is_file() else model
        tokenizer = beside if tokenizer is None else tokenizer
    if tokenizer is None:
        raise InputError("tokenizer is missing: a model object does not tell which. Give a tokenizer or its folder.")
    if isinstance(tokenizer, str | Path):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **hub)
    if is_name:
        backend = get_backend(choose_framework(framework))
        model = backend.load_model(folder, cls.task, device, dtype)
    else:
        backend = _given(model, framework, device, dtype)
        model = getattr(model, "deberta", model) if cls.task is None else model
    arrays = backend.array_model(model, device)
    return cls(arrays, tokenizer, batch_size=batch_size, max_length=max_length, **options)


def _given(model: Any, framework: str | None, device: Any, dtype: Any) -> Backend:
    """The backend of a model object, of which only what it is can be asked for."""
    own = owner(model)
    if framework not in (None, own):
        raise InputError(f"framework={framework!r}, but the model is one of {own!r}. Leave framework out.")
    if dtype is not None:
        raise InputError(f"dtype={dtype!r} is for models that are loaded here. Convert the model, or leave it out.")
    backend = get_backend(own)
    backend.check_device(model, device)
    return backend
