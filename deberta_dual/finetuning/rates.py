"""How fast each parameter learns: the rate of a step, and the share of it that a parameter gets."""

from __future__ import annotations

import math
import re

from deberta_core.config import BaseConfig
from deberta_core.parameters import Parameter
from deberta_core.tasks import BACKBONE_PREFIX

_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


def rate_at(step: int, steps: int, peak: float, warmup: float) -> float:
    """The learning rate of a step: up in a line during the warm-up, then down in a line to 0 behind the last step.

    Args:
        step: from 0.
        steps: of the whole run.
        peak: the peak learning rate.
        warmup: the share of the steps, from 0 to 1.
    """
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (steps - step) / max(steps - rising, 1)


def layers_above(name: str, layers: int) -> int:
    """The steps down from the head: 0 for the head, 1 for the last layer.

    What lies before or is shared by all layers, embeddings, relative table, convolution, is a step below the first.
    """
    found = _LAYER.search(name)
    if found:
        return layers - int(found[1])
    return layers + 1 if name.startswith(BACKBONE_PREFIX) else 0


def layer_share(name: str, layers: int, layer_decay: float) -> float:
    """The share of the rate: 1 for the head, less by `layer_decay` with each step down.

    Source:
        ELECTRA (Clark et al. 2020), appendix B: layer-wise learning-rate decay; there the head's share is 1 as well.
    """
    return layer_decay ** layers_above(name, layers)


def is_decayed(parameter: Parameter) -> bool:
    """Whether weight decay applies: to matrices, not to biases and norms."""
    return len(parameter.shape) > 1


def parameter_rates(
    parameters: dict[str, Parameter],
    config: BaseConfig,
    layer_decay: float,
    weight_decay: float,
    frozen_layers: int = 0,
) -> dict[str, tuple[float, float]]:
    """For every parameter that is trained its share of the learning rate and its weight decay.

    With frozen layers neither the first of them nor what lies below is trained. A backbone alone has no head.
    """
    trained = config.num_hidden_layers - frozen_layers if frozen_layers else math.inf
    prefix = "" if any(name.startswith(BACKBONE_PREFIX) for name in parameters) else BACKBONE_PREFIX
    return {
        name: (
            layer_share(f"{prefix}{name}", config.num_hidden_layers, layer_decay),
            weight_decay if is_decayed(parameter) else 0.0,
        )
        for name, parameter in parameters.items()
        if layers_above(f"{prefix}{name}", config.num_hidden_layers) <= trained
    }
