"""Whether a checkpoint has the head that a pipeline needs: one that starts fresh would answer at random."""

from __future__ import annotations

from pathlib import Path

from deberta_core.checkpoint import load_config, match_weights, open_weights
from deberta_core.errors import WeightError, name_list
from deberta_core.tasks import TASKS, task_spec


def check_head(folder: Path, name: str, task: str | None) -> None:
    """Refuses a checkpoint without the head of a task.

    Args:
        folder: the checkpoint folder or weight file.
        name: of the pipeline, for the message.
        task: a name of `TASKS`; None needs no head.

    Raises:
        WeightError: parameters of the head are missing; or `architectures` of config.json says that the head is that
            of another task, which can have the same names.
        ConfigError: config.json is missing or wrong.
    """
    if task is None:
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
    architectures = config.extra.get("architectures")
    declared = [str(one) for one in architectures] if isinstance(architectures, list) else []
    suffixes = [one.class_suffix for one in TASKS.values() if any(cls.endswith(one.class_suffix) for cls in declared)]
    if suffixes and spec.class_suffix not in suffixes:
        raise WeightError(
            f"{folder} cannot do {name}: config.json says architectures={declared}, and {name} needs a model "
            f"...{spec.class_suffix}. Choose the task it was fine-tuned for, or another model."
        )
