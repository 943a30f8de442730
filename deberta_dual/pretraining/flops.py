"""How many floating-point operations a step of pretraining needs, to tell what part of a machine it uses."""

from __future__ import annotations

from deberta_core.config import BaseConfig
from deberta_core.parameters import expand

_TRAINING = 3  # a backward pass costs two forward passes: gradients of the inputs, and of the weights
_LAYER = "encoder.layer."


def training_flops(config: BaseConfig, task: str | None, sequences: int, length: int, labelled: int) -> int:
    """Operations of the products of one training pass; what is element-wise is left out, as usual.

    Args:
        config: of the model.
        task: "masked_lm" projects the labelled tokens alone onto the vocabulary, another head reads all tokens.
        sequences: of the batch.
        length: tokens of each.
        labelled: tokens of the batch that are predicted.

    Returns:
        multiplications and additions, counted apart: three times those of the forward pass.
    """
    tokens = sequences * length
    rows = min(config.table_rows, 2 * length - 1) if config.relative_attention else 0
    layers = config.num_hidden_layers
    parameters = expand(config, task).values()
    in_layers = {name: 0 for name in range(layers)}
    head = 0
    for parameter in parameters:
        if len(parameter.shape) < 2 or parameter.kind.keras_leaf == "embeddings":
            continue
        if parameter.layer is not None and _LAYER in parameter.name:
            in_layers[parameter.layer] += parameter.size
        elif not parameter.name.startswith("deberta."):
            head += parameter.size
    width = config.all_heads_size(0)
    scores = 2 * length + len(config.position_terms) * rows  # numbers of each query: scores, values, table
    attention = tokens * layers * width * scores
    tables = rows * layers * width * config.hidden_size * len(config.position_terms)
    total = attention + tables
    if task == "masked_lm":
        total += labelled * (head + config.vocab_size * config.embedding_width)
        total += tokens * sum(in_layers.values())
        if config.mlm_decoder == "enhanced":  # the last layer runs twice, on the labelled tokens
            last = layers - 1
            total += 2 * labelled * (in_layers[last] + width * scores) - tokens * (in_layers[last] + width * scores)
            total += tokens * 2 * config.hidden_size * width  # its keys and values are of all tokens
    else:
        total += tokens * (head + sum(in_layers.values()))
    return 2 * _TRAINING * total
