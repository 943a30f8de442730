"""Pretraining: corpora larger than memory as batches of masked rows."""

from deberta_dual.pretraining.batches import Batch, Batches, held_out_batches
from deberta_dual.pretraining.corpus import Corpus
from deberta_dual.pretraining.options import BatchOptions

__all__ = ["Batch", "BatchOptions", "Batches", "Corpus", "held_out_batches"]
