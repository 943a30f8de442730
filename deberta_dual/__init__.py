"""What people do with DeBERTa, in either framework: answer texts, fine-tune; and the command `deberta`."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deberta_dual.finetuning import Start, TrainingOptions, finetune
    from deberta_dual.pipelines import pipeline

__all__ = ["Start", "TrainingOptions", "finetune", "pipeline"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and nothing before: the command must hear of Ctrl-C while it imports."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "deberta_dual.pipelines" if name == "pipeline" else "deberta_dual.finetuning"
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
