"""Texts in, answers out: the tasks' pre- and post-processing in NumPy, around a model of any framework."""

from deberta_core.errors import InputError
from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.entities import AggregationStrategy
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.pipelines.features import FeatureExtractionPipeline, SentenceEmbeddingsPipeline
from deberta_dual.pipelines.fill_mask import FillMaskPipeline
from deberta_dual.pipelines.masked_lm import MaskedLMPipeline
from deberta_dual.pipelines.multiple_choice import MultipleChoicePipeline
from deberta_dual.pipelines.question_answering import QuestionAnsweringPipeline
from deberta_dual.pipelines.ranking import RankingPipeline
from deberta_dual.pipelines.reward import RewardPipeline
from deberta_dual.pipelines.text_classification import TextClassificationPipeline
from deberta_dual.pipelines.token_classification import TokenClassificationPipeline
from deberta_dual.pipelines.zero_shot import ZeroShotClassificationPipeline

NerPipeline = TokenClassificationPipeline
"""Another name of transformers for the same class."""
PipelineException = InputError
"""What transformers raises for a text without a mask; another name for our error."""

__all__ = [
    "PIPELINES",
    "AggregationStrategy",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "MaskedLMPipeline",
    "MultipleChoicePipeline",
    "NerPipeline",
    "Pipeline",
    "PipelineException",
    "QuestionAnsweringPipeline",
    "RankingPipeline",
    "RewardPipeline",
    "SentenceEmbeddingsPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
]
