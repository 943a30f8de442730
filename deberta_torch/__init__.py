"""DeBERTa in PyTorch; mirrors `deberta_tf` file for file."""

try:
    import torch  # noqa: F401 - first, so that a missing one is said in a line
except ModuleNotFoundError as problem:
    if problem.name != "torch":
        raise
    raise ImportError("deberta_torch needs PyTorch. Install it with: pip install 'deberta-dual[torch]'") from None

import deberta_core
from deberta_core import *
from deberta_core import tasks as core_tasks
from deberta_core.outputs import ModelOutput
from deberta_core.tasks import *
from deberta_torch import tasks
from deberta_torch.bridge import as_transformers
from deberta_torch.checks import asserting_on_devices
from deberta_torch.inference.optimize import changing_weights, optimize, restore
from deberta_torch.models import DebertaModel, DebertaPreTrainedModel, DebertaV2Model, DebertaV2PreTrainedModel
from deberta_torch.outputs import register_outputs
from deberta_torch.pretraining import DebertaForPreTraining, DebertaV2ForPreTraining
from deberta_torch.tasks import *

register_outputs()

__all__ = [
    "DebertaForPreTraining",
    "DebertaModel",
    "DebertaPreTrainedModel",
    "DebertaV2ForPreTraining",
    "DebertaV2Model",
    "DebertaV2PreTrainedModel",
    "ModelOutput",
    "as_transformers",
    "asserting_on_devices",
    "changing_weights",
    "optimize",
    "restore",
]
__all__ += deberta_core.__all__
__all__ += core_tasks.__all__
__all__ += tasks.__all__
