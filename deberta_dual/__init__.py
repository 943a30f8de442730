"""What people do with DeBERTa: answer texts, fine-tune, pretrain, export; in either framework, and by a command."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deberta_dual.compiling.job import compile
    from deberta_dual.data.load import load_data
    from deberta_dual.evaluation.job import evaluate
    from deberta_dual.explaining.explanation import explain
    from deberta_dual.exporting.export import export
    from deberta_dual.finetuning import Start, TrainingOptions, finetune
    from deberta_dual.pipelines import pipeline
    from deberta_dual.pretraining.job import pretrain
    from deberta_dual.pretraining.training import PretrainingOptions

# Name -> the module that has it.
_MODULES = {
    "PretrainingOptions": "deberta_dual.pretraining.training",
    "Start": "deberta_dual.finetuning",
    "TrainingOptions": "deberta_dual.finetuning",
    "compile": "deberta_dual.compiling.job",
    "evaluate": "deberta_dual.evaluation.job",
    "explain": "deberta_dual.explaining.explanation",
    "export": "deberta_dual.exporting.export",
    "finetune": "deberta_dual.finetuning",
    "load_data": "deberta_dual.data.load",
    "pipeline": "deberta_dual.pipelines",
    "pretrain": "deberta_dual.pretraining.job",
}
__all__ = [
    "PretrainingOptions",
    "Start",
    "TrainingOptions",
    "compile",
    "evaluate",
    "explain",
    "export",
    "finetune",
    "load_data",
    "pipeline",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and nothing before: the command must hear of Ctrl-C while it imports."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
