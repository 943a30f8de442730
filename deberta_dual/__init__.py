"""What people do with DeBERTa, in either framework: answer texts, fine-tune; and the command `deberta`."""

from deberta_dual.finetuning import Start, TrainingOptions, finetune
from deberta_dual.pipelines import pipeline

__all__ = ["Start", "TrainingOptions", "finetune", "pipeline"]
