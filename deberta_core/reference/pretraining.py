"""Replaced-token detection: one step of generator and discriminator with a given sample (NUMERICS 8)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.parameters import DELTA_NAMES
from deberta_core.reference.arrays import Array
from deberta_core.reference.forward import forward
from deberta_core.reference.masks import token_mask

Arrays = Mapping[str, npt.ArrayLike]


def discriminator_tables(generator_params: Arrays, params: Arrays) -> dict[str, Array]:
    """The tables a discriminator reads: its own; or the generator's, plus its difference where it has one.

    Args:
        generator_params: all of the generator's, by name.
        params: the discriminator's, as `deberta_core.checkpoint.Pair` has them.
    """
    tables = {}
    for name, delta in DELTA_NAMES.items():
        if name in params:
            tables[name] = np.asarray(params[name])
        elif name in generator_params:
            own = np.asarray(params[delta]) if delta in params else 0
            tables[name] = np.asarray(generator_params[name]) + own
    return tables


def replaced_labels(labels: Array, corrupted_ids: Array, mask: Array) -> Array:
    """1 where a token was predicted and another was drawn, else 0; -100 at padding; all `[B, L]`."""
    replaced = (labels >= 0) & (corrupted_ids != labels)
    return np.where(mask, replaced, IGNORED_LABEL)


def pretraining(
    generator_config: BaseConfig,
    config: BaseConfig,
    generator_params: Arrays,
    params: Arrays,
    inputs: Mapping[str, Array],
    rtd_lambda: float = 50.0,
    dtype: npt.DTypeLike = np.float64,
) -> dict[str, Array]:
    """Computes a joint step, whose sample is given.

    Args:
        generator_config: of the masked-LM model.
        config: of the discriminator.
        generator_params: all of the generator's, by name.
        params: the discriminator's, as `deberta_core.checkpoint.Pair` has them.
        inputs: those of `forward`: `input_ids` masked, `labels` the true ids at masked places; and `corrupted_ids`.
        rtd_lambda: what the discriminator's loss is multiplied with.
        dtype: the float type everything is computed in.

    Returns:
        `loss`, `mlm_loss`, `rtd_loss` (without `rtd_lambda`), `generator_logits [n, V]` at the labels, `replaced` and
        `logits [B, L]`, the discriminator's.

    Raises:
        InputError: inputs and labels that break their rules.
        MissingName: a parameter is missing.
    """
    inputs = dict(inputs)
    corrupted, labels = inputs.pop("corrupted_ids"), inputs.pop("labels")
    made = forward(generator_config, generator_params, inputs | {"labels": labels}, "masked_lm", dtype)
    mask = token_mask(inputs.get("attention_mask", np.ones(labels.shape)))
    replaced = replaced_labels(labels, corrupted, mask)
    tables = {name: table.astype(dtype) for name, table in discriminator_tables(generator_params, params).items()}
    told = forward(
        config,
        {**params, **tables},
        inputs | {"input_ids": corrupted, "labels": replaced},
        "replaced_token",
        dtype,
    )
    return {
        "loss": made["loss"] + rtd_lambda * told["loss"],
        "mlm_loss": made["loss"],
        "rtd_loss": told["loss"],
        "generator_logits": made["logits"][labels >= 0],
        "replaced": replaced,
        "logits": told["logits"],
    }
