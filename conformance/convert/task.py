"""Finding out which task a checkpoint was saved from."""

from __future__ import annotations

from deberta_core.checkpoint import LazyWeights
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError, name_list
from deberta_core.parameters import expand
from deberta_core.tasks import BACKBONE, BACKBONE_PREFIX, PRETRAINING_MODULES, TASKS, TaskSpec, head_modules

_PRETRAINING = frozenset(PRETRAINING_MODULES)


def find_task(config: BaseConfig, weights: LazyWeights) -> str | None:
    """The task a checkpoint was saved from, by its weights and the `architectures` of its config.

    Args:
        config: the configuration, whose `legacy` is that of the weights.
        weights: the open weight file.

    Returns:
        a name of `TASKS`; None for a bare backbone. Of several tasks whose heads have the same names and shapes the
        one `architectures` declares, else the first: the numbers are the same. Of masked LM and replaced-token
        detection in one file the latter.

    Raises:
        WeightError: a task that is not supported, or not the one that is declared.
    """
    held = {name.split(".")[0] for name in weights} & head_modules()
    if not held:
        return None
    # Where no head fits exactly, one of the right modules is taken, so that loading says what is wrong with it.
    candidates = [spec for spec in TASKS.values() if _has_modules(spec, held)]
    candidates = [spec for spec in candidates if _fits(spec, config, weights)] or candidates
    architectures = config.extra.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    declared = [spec for spec in TASKS.values() if any(name.endswith(spec.class_suffix) for name in names)]
    if declared:
        candidates = [spec for spec in candidates if spec in declared]
    if candidates:
        # A discriminator may still hold the masked-LM head that its training started with.
        both = len(candidates) > 1 and all(_PRETRAINING.issuperset(spec.head_modules) for spec in candidates)
        return candidates[-1 if both else 0].name
    supported = ", ".join(class_name(config, spec) for spec in (BACKBONE, *TASKS.values()))
    raise WeightError(
        f"{weights.file} holds the head {name_list(held)} and config.json says "
        f"architectures={names or None}: this cannot be converted. Supported are: {supported}."
    )


def class_name(config: BaseConfig, spec: TaskSpec) -> str:
    """The published name of a task's model class."""
    return type(config).__name__.removesuffix("Config") + spec.class_suffix


def _has_modules(spec: TaskSpec, held: set[str]) -> bool:
    own = set(spec.head_modules)
    complete = bool(own & held) if own <= _PRETRAINING else own <= held  # masked LM has one of two modules
    return complete and held - own <= _PRETRAINING


def _fits(spec: TaskSpec, config: BaseConfig, weights: LazyWeights) -> bool:
    head = [p for p in expand(config, spec.name).values() if not p.canonical.startswith(BACKBONE_PREFIX)]
    return all(p.name in weights.entries and weights.entries[p.name].shape == p.shape for p in head)
