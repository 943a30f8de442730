"""`pipeline`: the pipeline of a task, around a model that is loaded or given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import InputError, MissingName, one_of
from deberta_core.hub import HUB_OPTIONS, split_hub_options
from deberta_core.names.pipelines import PIPELINE_OPTIONS, PIPELINE_TASKS
from deberta_core.names.rows import Renamed, own_keywords
from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.checkpoint_heads import check_head, find_model_task
from deberta_dual.pipelines.ensemble import check_vocabularies
from deberta_dual.pipelines.features import FeatureExtractionPipeline, SentenceEmbeddingsPipeline
from deberta_dual.pipelines.fill_mask import FillMaskPipeline
from deberta_dual.pipelines.loading import load_model
from deberta_dual.pipelines.masked_lm import MaskedLMPipeline
from deberta_dual.pipelines.multiple_choice import MultipleChoicePipeline
from deberta_dual.pipelines.options import unfolded
from deberta_dual.pipelines.question_answering import QuestionAnsweringPipeline
from deberta_dual.pipelines.ranking import RankingPipeline
from deberta_dual.pipelines.reward import RewardPipeline
from deberta_dual.pipelines.text_classification import TextClassificationPipeline
from deberta_dual.pipelines.token_classification import TokenClassificationPipeline
from deberta_dual.pipelines.zero_shot import ZeroShotClassificationPipeline

PIPELINES: dict[str, type[Pipeline]] = {
    cls.task: cls
    for cls in (
        TextClassificationPipeline,
        ZeroShotClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        FillMaskPipeline,
        MaskedLMPipeline,
        MultipleChoicePipeline,
        RankingPipeline,
        RewardPipeline,
        FeatureExtractionPipeline,
        SentenceEmbeddingsPipeline,
    )
}


# What `pipeline` takes by keyword besides the options of its task and those of the hub.
_ARGUMENTS = ("framework", "device", "dtype", "device_map", "model_kwargs")


def pipeline(
    task: str | None = None,
    model: Any = None,
    tokenizer: Any = None,
    framework: str | None = None,
    device: Any = None,
    dtype: Any = None,
    *,
    pipeline_class: type[Pipeline] | None = None,
    **options: Any,
) -> Any:
    """Makes the pipeline of a task.

    A model that is loaded here and computes on the CPU or on CUDA is optimised there (`deberta_torch.optimize`); a
    model object is used as it is.

    Args:
        task: a name of `PIPELINES`, or of `deberta_core.names.pipelines.PIPELINE_TASKS`; None: that of the model's
            head.
        model: a checkpoint folder, a hub id, or a model object of `deberta_torch` or `deberta_tf`; or a list of them,
            whose probabilities are averaged.
        tokenizer: a tokenizer, a folder with one, or a hub id; None: that of the model's folder or repository.
        framework: "torch" (or "pt"), "tf", "onnx" or "openvino", for a model that is loaded; None: what is installed,
            PyTorch first. The runtimes take an exported folder, or make a graph of a checkpoint and cache it. "auto",
            "auto-throughput" and "auto-long-texts" take the fastest on this machine, see `deberta_dual.compile`.
        device: where a model is loaded or moved to: a name, an object of the framework, the number of an accelerator,
            or -1 for the CPU; None: for a model that is loaded the best device there is, for an object where it is.
        dtype: what a loaded model computes in; None: float32. Half precision goes by the framework's names; on the CPU
            PyTorch also has "int8".
        pipeline_class: a subclass of the task's class, to be made instead.
        **options: those of the task, the defaults of every call; `device_map` and `model_kwargs`, arguments of
            `from_pretrained`; for a hub id `revision`, `cache_dir`, `local_files_only`, `token` and `force_download`;
            and other libraries' names for these, see `deberta_core.names.pipelines`.

    Raises:
        InputError: an argument has a value it cannot have, or a framework is missing.
        WeightError: the checkpoint has no head for this task, or does not fit.
        ConfigError: config.json is missing or wrong.
        TokenizationError: the tokenizer's files are missing or wrong.
    """
    models = list(model) if isinstance(model, list | tuple) else [model]
    if not models or None in models:
        raise InputError("model is missing. Give a folder, a hub id, or a model of deberta_torch or deberta_tf.")
    model, is_name = models[0], isinstance(models[0], str | Path)
    hub, _ = split_hub_options(options)
    folder = checkpoint_folder(model, **hub) if is_name and task is None else None
    if task is not None:
        cls = PIPELINES[known_task(task)]
    else:
        cls = _of_model_task(getattr(model, "task", None) if folder is None else find_model_task(folder))
    cls = cls if pipeline_class is None else pipeline_class
    named = {"framework": framework, "device": device, "dtype": dtype}
    options |= {name: value for name, value in named.items() if value is not None}
    hub, own = split_hub_options(cls.own_names(options, (*_ARGUMENTS, *HUB_OPTIONS)))
    given = {name: own.pop(name) for name in _ARGUMENTS if name in own}
    cls.read_options(own)  # what is quickly checked comes before a model is loaded
    if len(models) > 1:
        members = [pipeline(cls.task, one, tokenizer, pipeline_class=cls, **options) for one in models]
        check_vocabularies([member.tokenizer for member in members], models)
        return cls([member.model for member in members], members[0].tokenizer, **own)
    if not is_name:
        about = {name: given[name] for name in ("framework", "device", "dtype") if name in given}
        return cls(model, _tokenizer(tokenizer, hub), **about, **own)
    folder = folder or checkpoint_folder(model, **hub)
    check_head(folder, cls.task, cls.model_task)
    beside = folder.parent if folder.is_file() else model
    tokenizer = _tokenizer(beside if tokenizer is None else tokenizer, hub)
    loaded = _load(folder, cls.model_task, given)
    return cls(loaded, tokenizer, device=given.get("device"), **{**cls.folder_options(beside, **hub), **own})


def known_task(task: Any) -> str:
    """The name of a pipeline by any of its names.

    Raises:
        MissingName: the name is unknown.
    """
    row = PIPELINE_TASKS.get(task) if isinstance(task, str) else None
    name: str = row.ours if isinstance(row, Renamed) else task
    if name not in PIPELINES:
        raise MissingName(one_of("task", task, tuple(PIPELINES)))
    return name


def _of_model_task(model_task: str | None) -> type[Pipeline]:
    """The first pipeline for a model's task."""
    for cls in PIPELINES.values():
        if model_task is not None and cls.model_task == model_task:
            return cls
    raise InputError(f"the model has no head that tells the task. Give one of: {', '.join(PIPELINES)}.")


def _load(folder: Path, model_task: str | None, given: dict[str, Any]) -> Any:
    """Loads a model with the arguments of `from_pretrained` that are among those given."""
    arguments = unfolded({name: one for name, one in given.items() if name != "framework"}, "model_kwargs")
    renamed = {"torch_dtype": PIPELINE_OPTIONS["torch_dtype"]}
    arguments = own_keywords(renamed, arguments, arguments.keys() - renamed.keys())
    return load_model(
        given.get("framework"),
        folder,
        model_task,
        arguments.pop("device", None),
        arguments.pop("dtype", None),
        **arguments,
    )[1]


def _tokenizer(tokenizer: Any, hub: dict[str, Any]) -> Any:
    return AutoTokenizer.from_pretrained(tokenizer, **hub) if isinstance(tokenizer, str | Path) else tokenizer
