"""Fine-tuning: files of examples and a checkpoint in, a checkpoint out; the frameworks' loops are in their packages."""

from deberta_core.finetuning.finetune import Start, finetune
from deberta_core.finetuning.options import TrainingOptions
from deberta_core.finetuning.records import Record, read_records
from deberta_core.finetuning.tasks import FINETUNE_TASKS, FinetuneTask

__all__ = ["FINETUNE_TASKS", "FinetuneTask", "Record", "Start", "TrainingOptions", "finetune", "read_records"]
