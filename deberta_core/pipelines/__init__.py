"""Texts in, answers out: the tasks' pre- and post-processing in NumPy, around a model of any framework."""

from deberta_core.pipelines.base import Pipeline
from deberta_core.pipelines.factory import PIPELINES, pipeline
from deberta_core.pipelines.features import FeatureExtractionPipeline, SentenceEmbeddingsPipeline
from deberta_core.pipelines.fill_mask import FillMaskPipeline
from deberta_core.pipelines.multiple_choice import MultipleChoicePipeline
from deberta_core.pipelines.question_answering import QuestionAnsweringPipeline
from deberta_core.pipelines.text_classification import TextClassificationPipeline
from deberta_core.pipelines.token_classification import TokenClassificationPipeline
from deberta_core.pipelines.zero_shot import ZeroShotClassificationPipeline

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
