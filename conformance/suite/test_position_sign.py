"""Position-to-content reads the distance from query to key, as published checkpoints were trained (NUMERICS 3)."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close, relative_error
from conformance.tolerances import TOLERANCES

LENGTH = 9
HEADS = 4
# One layer, position-to-content alone, its projection apart from the others: what is compared is written out below.
CONFIGS = {
    "v1": CASES["v1_p2c"].config.replace(num_hidden_layers=1),
    "v2": CASES["v2_unshared"].config.replace(num_hidden_layers=1, norm_rel_ebd="none", pos_att_type="p2c"),
}
SELF = "encoder.layer.0.attention.self."


def projections(version, params, hidden):
    """Query and key of the tokens, and the position queries of the table's rows, `[..., H, D]`, in float64."""
    own = {name.removeprefix(SELF): value.astype(float) for name, value in params.items()}
    table = own["encoder.rel_embeddings.weight"]
    if version == "v1":
        query, key, _ = np.moveaxis((hidden @ own["in_proj.weight"].T).reshape(*hidden.shape[:2], HEADS, 3, -1), 3, 0)
        query = query + own["q_bias"].reshape(HEADS, -1)
        rows = table @ own["pos_q_proj.weight"].T + own["pos_q_proj.bias"]
        return query, key, rows.reshape(len(table), HEADS, -1)
    values = {"query_proj": hidden, "key_proj": hidden, "pos_query_proj": table}
    made = [value @ own[f"{name}.weight"].T + own[f"{name}.bias"] for name, value in values.items()]
    return tuple(value.reshape(*value.shape[:-1], HEADS, -1) for value in made)


def table_index(version, distance):
    """By hand: v1's rows for 9 of its 64 positions count from 64; v2's 8 buckets hold distances up to 4 one by one."""
    if version == "v1":
        return distance + 64
    return min(max(distance if abs(distance) <= 4 else int(np.sign(distance)) * far_bucket(abs(distance)), -8), 7) + 8


def far_bucket(distance):
    return int(np.ceil(np.log(distance / 4) / np.log(63 / 4) * 3) + 4)


def attention(version, params, hidden, sign):
    """Probabilities `[B, H, L, L]`, one score at a time; the sign belongs to the distance of position-to-content."""
    query, key, rows = projections(version, params, hidden)
    scale = 1 / np.sqrt(query.shape[-1] * 2)
    scores = np.empty((len(hidden), HEADS, LENGTH, LENGTH))
    for batch, head, i, j in np.ndindex(*scores.shape):
        row = rows[table_index(version, sign * (i - j)), head]
        k = key[batch, j, head]
        scores[batch, head, i, j] = scale * (query[batch, i, head] @ k + k @ row)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("adapter", [ReferenceAdapter, *FRAMEWORKS.values()])
@pytest.mark.parametrize("version", CONFIGS)
def test_the_sign_is_the_trained_one(adapter, version):
    params = random_params(CONFIGS[version], None)
    ids = np.random.default_rng(3).integers(0, CONFIGS[version].vocab_size, (2, LENGTH))
    outputs = adapter(CONFIGS[version], None, params).forward({"input_ids": ids})
    hidden = outputs["hidden_states.0"].astype(np.float64)
    trained, other = (attention(version, params, hidden, sign) for sign in (1, -1))
    assert_close(outputs["attentions.0"], trained, quantity="attentions", name="attentions.0")
    assert relative_error(outputs["attentions.0"], other) > 1000 * TOLERANCES["attentions"].limit
