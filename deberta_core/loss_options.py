"""What may be changed about the losses over classes; models have it as `loss_options`, in both frameworks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deberta_core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions:
    """How classes, and examples, count in a loss; nothing of it is saved with a model.

    Args:
        class_weights: for every class a number of 0 or more, of cross-entropy; the mean is divided by the sum of the
            weights of the labels. None: 1 each.
        label_smoothing: the share of a label that is spread over all classes, in [0, 1); of cross-entropy, and of the
            binary one, where 0 and 1 move towards 1/2.
        focal_gamma: the power of 1 - p, p the probability of what is right, that a loss is multiplied with; 0 is 1.

    Raises:
        InputError: a value is not allowed, or smoothing stands beside focal loss.

    Source:
        Szegedy et al. (2016), section 7: label smoothing; Lin et al. (2017), equation 5: focal loss. Class weights
        and smoothing together are PyTorch's: what is spread has the weight of the class it goes to.
    """

    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0

    def __post_init__(self) -> None:
        weights = self.class_weights
        if weights is not None and not (all(math.isfinite(one) and one >= 0 for one in weights) and any(weights)):
            raise InputError(f"class_weights={weights} are not allowed. Give numbers of 0 or more, not all of them 0.")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing={self.label_smoothing!r} is not allowed. Give a number in [0, 1).")
        if not (math.isfinite(self.focal_gamma) and self.focal_gamma >= 0):
            raise InputError(f"focal_gamma={self.focal_gamma!r} is not allowed. Give a number of 0 or more.")
        if self.label_smoothing and self.focal_gamma:
            raise InputError("Smoothed labels have no one probability for focal loss. Give one of both.")


PLAIN = LossOptions()
