"""What can be fine-tuned: from records to labelled tokens, and from a model's answers to scores."""

from deberta_dual.finetuning.tasks.base import FinetuneTask, Head
from deberta_dual.finetuning.tasks.masked_lm import MaskedLM
from deberta_dual.finetuning.tasks.multiple_choice import MultipleChoice
from deberta_dual.finetuning.tasks.question_answering import QuestionAnswering
from deberta_dual.finetuning.tasks.ranking import Ranking
from deberta_dual.finetuning.tasks.reward import Reward
from deberta_dual.finetuning.tasks.sentence_embeddings import SentenceEmbeddings
from deberta_dual.finetuning.tasks.text_classification import TextClassification
from deberta_dual.finetuning.tasks.token_classification import TokenClassification

# By the names of the pipelines that answer with what was trained.
FINETUNE_TASKS: dict[str, type[FinetuneTask]] = {
    cls.name: cls
    for cls in (
        TextClassification,
        TokenClassification,
        QuestionAnswering,
        MultipleChoice,
        Ranking,
        MaskedLM,
        SentenceEmbeddings,
        Reward,
    )
}

__all__ = ["FINETUNE_TASKS", "FinetuneTask", "Head"]
