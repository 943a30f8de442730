"""DeBERTa in Keras 3; mirrors `deberta_torch` file for file."""

try:
    import keras  # noqa: F401 - first, so that a missing one, or its TensorFlow, is said in a line
except ModuleNotFoundError as problem:
    if problem.name not in ("keras", "tensorflow"):
        raise
    raise ImportError(
        "deberta_tf needs Keras 3 and TensorFlow. Install them with: pip install 'deberta-dual[tf]'"
    ) from None

import deberta_core
from deberta_core import *
from deberta_core import tasks as core_tasks
from deberta_core.outputs import ModelOutput
from deberta_core.tasks import *
from deberta_tf import tasks
from deberta_tf.models import TFDebertaModel, TFDebertaPreTrainedModel, TFDebertaV2Model, TFDebertaV2PreTrainedModel
from deberta_tf.preprocessing import TextPreprocessor
from deberta_tf.pretraining import TFDebertaForPreTraining, TFDebertaV2ForPreTraining
from deberta_tf.tasks import *

__all__ = [
    "ModelOutput",
    "TFDebertaForPreTraining",
    "TFDebertaModel",
    "TFDebertaPreTrainedModel",
    "TFDebertaV2ForPreTraining",
    "TFDebertaV2Model",
    "TFDebertaV2PreTrainedModel",
    "TextPreprocessor",
]
__all__ += deberta_core.__all__
__all__ += core_tasks.__all__
__all__ += tasks.__all__
