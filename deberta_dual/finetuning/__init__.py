"""Fine-tuning: files of examples and a checkpoint in, a checkpoint out; the frameworks' loops are in `backends`."""

from deberta_dual.data.load import load_data
from deberta_dual.data.records import Record
from deberta_dual.finetuning.job import finetune
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.start import Start
from deberta_dual.finetuning.tasks import FINETUNE_TASKS, FinetuneTask

__all__ = ["FINETUNE_TASKS", "FinetuneTask", "Record", "Start", "TrainingOptions", "finetune", "load_data"]
