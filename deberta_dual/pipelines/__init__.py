"""Texts in, answers out: the tasks' pre- and post-processing in NumPy, around a model of any framework."""

from deberta_dual.pipelines.base import Pipeline
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.pipelines.features import FeatureExtractionPipeline, SentenceEmbeddingsPipeline
from deberta_dual.pipelines.fill_mask import FillMaskPipeline
from deberta_dual.pipelines.multiple_choice import MultipleChoicePipeline
from deberta_dual.pipelines.question_answering import QuestionAnsweringPipeline
from deberta_dual.pipelines.text_classification import TextClassificationPipeline
from deberta_dual.pipelines.token_classification import TokenClassificationPipeline
from deberta_dual.pipelines.zero_shot import ZeroShotClassificationPipeline

__all__ = [
    "PIPELINES",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "MultipleChoicePipeline",
    "Pipeline",
    "QuestionAnsweringPipeline",
    "SentenceEmbeddingsPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
]
