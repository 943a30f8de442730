"""Explanations: attention scores taken apart, and integrated gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deberta_core.explanations import Attributions, ScoreParts, check_layer, path_points, rows_by_distance
from deberta_torch.kernels.skew import position_products, skew
from deberta_torch.models import PreTrainedModel

# Points of the path that are in the model at once, of each text.
_AT_ONCE = 8


def score_parts(model: PreTrainedModel, layer: int, **inputs: Tensor) -> ScoreParts:
    """Takes the attention scores of a layer apart.

    Args:
        model: of any head; in evaluation mode for what inference computes.
        layer: counted from 0, or from the end where negative.
        **inputs: of the model; texts `[B, L]`.

    Returns:
        tensors without gradients; with talking heads, scores are those before heads are mixed.

    Raises:
        InputError: there is no such layer, or an input is wrong.
    """
    number = check_layer(model.config, layer)
    with torch.no_grad():
        found = model(**inputs, output_hidden_states=True, output_attentions=True, return_dict=True)
        encoder: Any = model.base_model.encoder
        hidden, own = found.hidden_states[number], encoder.layer[number].attention.self
        length = hidden.shape[1]
        query, key, _ = (
            part.unflatten(-1, (own.num_heads, own.head_size)).transpose(1, 2) for part in own.content(hidden)
        )
        query = query * own.scale  # [B, H, L, D]
        positions = encoder.relative_positions(length, length) if own.terms else None
        rows = None if positions is None else own.position_rows(positions)
        c2p = p2c = c2p_by_distance = p2c_by_distance = None
        if rows is not None and rows.key is not None:
            products = position_products(query, rows.key)  # [H, B, L, 2 L]: key - query = 1 - L, ..., L
            c2p, c2p_by_distance = skew(products, length).transpose(0, 1), products[..., :-1].transpose(0, 1)
        if rows is not None and rows.query is not None:
            products = position_products(key, rows.query)  # query - key = 1 - L, ..., L
            p2c, p2c_by_distance = (
                skew(products, length).transpose(0, 1).mT,
                products[..., :-1].flip(-1).transpose(0, 1),
            )
        return ScoreParts(
            content=query @ key.transpose(-1, -2),
            c2p=c2p,
            p2c=p2c,
            c2p_by_distance=c2p_by_distance,
            p2c_by_distance=p2c_by_distance,
            probabilities=found.attentions[number],
            rows=None if positions is None else rows_by_distance(model.config, length),
        )


def integrated_gradients(
    model: PreTrainedModel,
    output: str,
    index: tuple[int, ...],
    *,
    input_ids: Tensor,
    baseline_ids: Tensor,
    steps: int = 32,
    **inputs: Any,
) -> Attributions:
    """Attributes one output of a model to the tokens of its texts.

    Args:
        model: of any head, in evaluation mode.
        output: the name of an output, such as "logits".
        index: which number of it, after the batch: a class; a token and a class; a token.
        input_ids: `[B, L]`; `[B, N, L]` of multiple choice.
        baseline_ids: of the same shape, what the text is compared with: mask tokens for all but the special ones.
        steps: points on the path from baseline to text.
        **inputs: the model's other inputs.

    Raises:
        InputError: an input is wrong, or `steps` is less than 1.
    """
    words = model.get_input_embeddings()
    with torch.no_grad():
        start, end = words(baseline_ids), words(input_ids)

    def value_of(embeds: Tensor) -> Tensor:
        times = len(embeds) // len(end)
        others = {name: value.repeat(times, *[1] * (value.dim() - 1)) for name, value in inputs.items()}
        # Probabilities are asked for so that an optimised model does its usual forward pass, which has gradients.
        found = model(inputs_embeds=embeds, **others, output_attentions=True, return_dict=True)
        return found[output][(slice(None), *index)]

    gradient = torch.zeros_like(end)
    points, weights = (torch.tensor(numbers, dtype=end.dtype, device=end.device) for numbers in path_points(steps))
    for part, shares in zip(points.split(_AT_ONCE), weights.split(_AT_ONCE), strict=True):
        with torch.enable_grad():
            ways = part.view(-1, *[1] * end.dim())
            path = (start + ways * (end - start)).flatten(0, 1).requires_grad_()  # [P * B, L, E]
            (found,) = torch.autograd.grad(value_of(path).sum(), path)
        gradient += (found.unflatten(0, (len(part), len(end))) * shares.view(-1, *[1] * end.dim())).sum(0)
    with torch.no_grad():
        return Attributions((gradient * (end - start)).sum(-1), value_of(end), value_of(start))
