"""What is measured: a model's configuration, weights and inputs, and what the reference says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from conformance.suite.adapters import (
    FRAMEWORKS,
    IMPLEMENTATIONS,
    INTERPRETED,
    REDUCED,
    Array,
    ReferenceAdapter,
    TransformersAdapter,
)
from conformance.suite.cases import CASES, LABEL_SETTINGS, folded_mask, random_inputs, random_params, task_inputs
from conformance.suite.compare import DEEP_QUANTITIES
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.tasks import TASKS

_ADAPTERS: dict[str, Any] = {
    **FRAMEWORKS,
    **IMPLEMENTATIONS,
    **INTERPRETED,
    **REDUCED,
    "transformers": TransformersAdapter,
}


@dataclass(eq=False)
class Subject:
    """A model with inputs; the reference's answer and each framework's model are made once, when asked for.

    Attributes:
        name: the case, for the table.
        config: the configuration.
        task: a name of `TASKS`; None is the backbone.
        params: by PyTorch name.
        inputs: and labels, as `reference.forward` takes them.
        folder: a checkpoint folder that the frameworks load by themselves; None gives them `params`.
        quantities: the bound of each kind of output; None takes the kind's own.
        models: by framework, those that were made.
    """

    name: str
    config: BaseConfig
    task: str | None
    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    folder: Path | None = None
    quantities: Mapping[str, str] | None = None
    models: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def judge(self) -> ReferenceAdapter:
        """The reference in float64."""
        return ReferenceAdapter(self.config, self.task, self.params)

    @cached_property
    def expected(self) -> dict[str, Array]:
        """What the reference computes."""
        return self.judge.forward(self.inputs)

    @cached_property
    def mask(self) -> Array:
        """True at real tokens, `[B, L]`."""
        return folded_mask(dict(self.inputs))

    def model(self, framework: str) -> Any:
        """The model of a framework."""
        if framework not in self.models:
            adapter = _ADAPTERS[framework]
            if self.folder is None:
                self.models[framework] = adapter(self.config, self.task, self.params)
            else:
                self.models[framework] = adapter.from_pretrained(self.folder, self.config, self.task)
        return self.models[framework]

    def quantity(self, kind: str) -> str:
        """The bound of a kind of output."""
        return (self.quantities or {}).get(kind, kind)


@cache
def subject(
    case: str, task: str | None = None, setting: str | None = None, side: str = "right", holes: bool = False
) -> Subject:
    """The subject of a named case and one of a task's `LABEL_SETTINGS`; None is the backbone."""
    config, length = CASES[case].config, CASES[case].length
    name = case if task is None else f"{case} {task}"
    if task is None or setting is None:
        inputs = random_inputs(config, length, side=side)
    else:
        config = config.replace(**LABEL_SETTINGS[task][setting])
        inputs = task_inputs(config, task, setting, length, side=side, holes=holes)
    return Subject(name, config, task, random_params(config, task), inputs, models=_models(case, task, setting))


@cache
def _models(case: str, task: str | None, setting: str | None) -> dict[str, Any]:
    """One place for the models of all subjects that differ in their inputs only."""
    return {}


TASKS_AND_SETTINGS = [(task, setting) for task, settings in LABEL_SETTINGS.items() for setting in settings]
ONE_SETTING = [("masked_lm", "new"), *((task, next(iter(LABEL_SETTINGS[task]))) for task in TASKS)]

ENHANCED = [name for name, case in CASES.items() if case.config.enhances_decoder]

# The arguments of `subject` for everything whose outputs are compared.
VALUE_RUNS: list[tuple[Any, ...]] = [
    *((case,) for case in CASES),
    *(
        (case, task, setting, side)
        for case, side in (("v1_like", "right"), ("v2_conv", "right"), ("v2_conv", "left"))
        for task, setting in TASKS_AND_SETTINGS
    ),
    *(
        (case, "masked_lm", setting)
        for case in ("v1_embedding_ne_hidden", "v2_embedding_ne_hidden")
        for setting in LABEL_SETTINGS["masked_lm"]
    ),
    *((case, "masked_lm", setting) for case in ENHANCED for setting in LABEL_SETTINGS["masked_lm"]),
    ("v2_enhanced_conv", "masked_lm", "new", "left"),
]

# For everything whose scores are taken apart.
EXPLANATION_RUNS: list[tuple[Any, ...]] = [
    *((case,) for case in CASES),
    ("v2_conv", "multiple_choice", "choices", "right"),
    *((case, "masked_lm", "new") for case in ENHANCED),
]

# For everything whose gradients are.
GRADIENT_RUNS: list[tuple[Any, ...]] = [
    ("v1_like", "sequence_classification", "single"),
    ("v1_talking_head", "token_classification", "tokens"),
    ("v1_absolute_types", "question_answering", "spans"),
    ("v1_embedding_ne_hidden", "masked_lm", "legacy"),
    ("v1_like", "multiple_choice", "choices"),
    *(("v3_like", task, setting) for task, setting in ONE_SETTING),
    ("v2_conv_groups", "sequence_classification", "multi"),
    ("v2_conv", "multiple_choice", "choices"),
    ("v2_conv", "token_classification", "tokens"),
    ("v2_unshared", "sequence_classification", "regression"),
    ("v2_absolute_types", "sequence_classification", "soft"),
    ("v2_embedding_ne_hidden", "sequence_classification", "inferred_single"),
    ("v2_no_relative", "sequence_classification", "inferred_regression"),
    ("v2_no_buckets", "masked_lm", "legacy"),
    ("v1_enhanced", "masked_lm", "new"),
    ("v2_enhanced_conv", "masked_lm", "new"),
]

# Positions given with the tokens move along with them; one head is enough for that.
_POOLED = [("sequence_classification", "single")]
# For everything that is changed in ways that must not matter: padding and holes in every text.
INVARIANCE_RUNS: list[tuple[Any, ...]] = [
    (case, task, setting, "right", True)
    for cases, settings in (
        (("v1_like", "v2_conv"), ONE_SETTING),
        (("v1_absolute_types", "v2_absolute_types"), _POOLED),
        (("v1_enhanced", "v2_enhanced_conv"), ONE_SETTING[:1]),
    )
    for case in cases
    for task, setting in settings
]

_DEEP: dict[str, BaseConfig] = {
    "v1-base": DebertaConfig.preset("deberta-base"),
    "v3-base": DebertaV2Config.preset("deberta-v3-base"),
}
DEEP_NAMES = tuple(_DEEP)
DEEP_VOCABULARY = 1000  # of 50,265 and 128,100: the table's other rows would only take memory
DEEP_LENGTH = 48


def deep_subject(name: str, seed: int = 0) -> Subject:
    """A published size: its 12 layers and real widths with random weights, three texts, a masked-LM head and labels."""
    config = _DEEP[name].replace(vocab_size=DEEP_VOCABULARY, legacy=True)
    inputs = task_inputs(config, "masked_lm", "legacy", DEEP_LENGTH, seed)
    params = random_params(config, "masked_lm", seed)
    return Subject(name, config, "masked_lm", params, inputs, quantities=DEEP_QUANTITIES)
