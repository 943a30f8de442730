"""Whether a checkpoint has the head that a pipeline needs: one that starts fresh would answer at random."""

from __future__ import annotations

from pathlib import Path

from deberta_core.checkpoint import load_config, match_weights, open_weights
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError, name_list
from deberta_core.tasks import TASKS, task_spec
from deberta_dual.backends import choose_framework
from deberta_dual.exporting.targets import exported_config


def check_head(folder: Path, name: str, task: str | None) -> None:
    """Refuses a checkpoint without the head of a task.

    Args:
        folder: the checkpoint folder or weight file.
        name: of the pipeline, for the message.
        task: a name of `TASKS`; None needs no head.

    Raises:
        InputError: it is a graph of another task.
        WeightError: parameters of the head are missing; or `architectures` of config.json says that the head is that
            of another task, which can have the same names.
        ConfigError: config.json is missing or wrong.
    """
    if task is None or exported_config(folder, task) is not None:
        return
    spec = task_spec(task)
    config = load_config(None, folder, task)
    with open_weights(folder, config) as source:
        report = match_weights(source, config, task).report
    missing = [one for one in report.missing if one.split(".")[0] in spec.head_modules]
    if missing:
        raise WeightError(
            f"{folder} cannot do {name}: it has no {name_list(missing)}. Use a model that was fine-tuned for it "
            f"(...{spec.class_suffix}), or fine-tune this one first."
        )
    tasks = _declared_tasks(config)
    if tasks and task not in tasks:
        raise WeightError(
            f"{folder} cannot do {name}: config.json says architectures={config.extra['architectures']}, and {name} "
            f"needs a model ...{spec.class_suffix}. Choose the task it was fine-tuned for, or another model."
        )


def framework_of(framework: str | None, folder: Path, task: str | None) -> str:
    """The framework to load a model in: as it is said, or "onnx" of a folder that has a graph and no weights.

    Args:
        framework: a name of `FRAMEWORKS`; None: the first that is installed.
        folder: the checkpoint folder or weight file.
        task: the model's task; None for the backbone.

    Raises:
        InputError: the framework is unknown or not installed, or it is a graph of another task.
    """
    is_graph = framework is None and exported_config(folder, task) is not None
    return choose_framework("onnx" if is_graph else framework)


def find_model_task(folder: Path) -> str | None:
    """The task of a checkpoint's head: as config.json says, or else the one whose parts the weights have.

    Args:
        folder: the checkpoint folder or weight file.

    Returns:
        a name of `TASKS`; None if there is no head.

    Raises:
        ConfigError: config.json is missing or wrong.
    """
    config = load_config(None, folder, None)
    if declared := _declared_tasks(config):
        return declared[0]
    with open_weights(folder, config) as source:
        present = {name.split(".")[0] for name in source}
    whole = {task: _fit(present, spec.head_modules) for task, spec in TASKS.items() if present & {*spec.head_modules}}
    return max(whole, key=whole.__getitem__, default=None)


def _fit(present: set[str], head: tuple[str, ...]) -> tuple[int, int]:
    """How much of a head there is, and then how little is missing: classifiers share the names of their parts."""
    found = len(present.intersection(head))
    return found, found - len(head)


def _declared_tasks(config: BaseConfig) -> list[str]:
    """The tasks of the classes that config.json names."""
    architectures = config.extra.get("architectures")
    declared = [str(one) for one in architectures] if isinstance(architectures, list) else []
    return [task for task, spec in TASKS.items() if any(cls.endswith(spec.class_suffix) for cls in declared)]
