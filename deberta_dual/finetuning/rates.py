"""How fast each parameter learns: the rate of a step, and the share of it that a parameter gets."""

from __future__ import annotations

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


def layer_share(name: str, layers: int, layer_decay: float) -> float:
    """The share of the rate: 1 for the head, less by `layer_decay` with each step down.

    The last layer gets `layer_decay`, the first its power `layers`, and what lies before or is shared by all layers,
    embeddings, relative table and convolution, one more.

    Source:
        ELECTRA (Clark et al. 2020), appendix B: layer-wise learning-rate decay; there the head's share is 1 as well.
    """
    found = _LAYER.search(name)
    if found:
        return layer_decay ** (layers - int(found[1]))
    is_head = not name.startswith(BACKBONE_PREFIX)
    return 1.0 if is_head else layer_decay ** (layers + 1)


def is_decayed(parameter: Parameter) -> bool:
    """Whether weight decay applies: to matrices, not to biases and norms."""
    return len(parameter.shape) > 1


def parameter_rates(
    parameters: dict[str, Parameter], config: BaseConfig, layer_decay: float, weight_decay: float
) -> dict[str, tuple[float, float]]:
    """For every parameter its share of the learning rate and its weight decay; a backbone alone has no head."""
    prefix = "" if any(name.startswith(BACKBONE_PREFIX) for name in parameters) else BACKBONE_PREFIX
    return {
        name: (
            layer_share(f"{prefix}{name}", config.num_hidden_layers, layer_decay),
            weight_decay if is_decayed(parameter) else 0.0,
        )
        for name, parameter in parameters.items()
    }
