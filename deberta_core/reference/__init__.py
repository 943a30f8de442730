"""The executable specification: plain NumPy, slow and obvious, in any float dtype (float64 is the judge).

Axes: B batch, Q query length, K key length, L length where Q = K, H heads, D width of a head, C hidden width,
E embedding width, F feed-forward width, V vocabulary, R rows of the relative table (2 x span), N labels.
"""

from deberta_core.positions import (
    log_bucket_position,
    position_index_table,
    position_indices,
    relative_position,
)
from deberta_core.reference.arrays import ACTIVATION_FUNCTIONS, Scope, activation, layer_norm, linear, softmax
from deberta_core.reference.attention import attention, content, disentangled_scores, mix_heads, score_components
from deberta_core.reference.embeddings import embeddings
from deberta_core.reference.encoder import convolution, encoder, enhanced_decoder, layer, relative_table
from deberta_core.reference.forward import forward
from deberta_core.reference.heads import (
    HEADS,
    context_pooler,
    masked_lm,
    question_answering,
    replaced_token,
    sequence_classification,
    token_classification,
)
from deberta_core.reference.losses import (
    LOSSES,
    binary_cross_entropy,
    cross_entropy,
    label_loss,
    mean_squared_error,
    question_answering_loss,
    replaced_token_loss,
    sequence_classification_loss,
    soft_cross_entropy,
    span_cross_entropy,
)
from deberta_core.reference.masks import key_mask, token_mask
from deberta_core.reference.pretraining import discriminator_tables, pretraining, replaced_labels

__all__ = [
    "ACTIVATION_FUNCTIONS",
    "HEADS",
    "LOSSES",
    "Scope",
    "activation",
    "attention",
    "binary_cross_entropy",
    "content",
    "context_pooler",
    "convolution",
    "cross_entropy",
    "discriminator_tables",
    "disentangled_scores",
    "embeddings",
    "encoder",
    "enhanced_decoder",
    "forward",
    "key_mask",
    "label_loss",
    "layer",
    "layer_norm",
    "linear",
    "log_bucket_position",
    "masked_lm",
    "mean_squared_error",
    "mix_heads",
    "position_index_table",
    "position_indices",
    "pretraining",
    "question_answering",
    "question_answering_loss",
    "relative_position",
    "relative_table",
    "replaced_labels",
    "replaced_token",
    "replaced_token_loss",
    "score_components",
    "sequence_classification",
    "sequence_classification_loss",
    "soft_cross_entropy",
    "softmax",
    "span_cross_entropy",
    "token_classification",
    "token_mask",
]
