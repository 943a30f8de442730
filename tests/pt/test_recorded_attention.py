"""Attention that records gradients in parts computes what its steps compute, and torch's gradients of them."""

import pytest
import torch
from torch import Tensor

from conformance.suite.compare import assert_close
from deberta_torch import DebertaV2Config, DebertaV2Model
from deberta_torch.kernels import attention_functions
from deberta_torch.kernels import recorded_attention as module
from deberta_torch.kernels.recorded_attention import attend_recorded, records_in_parts
from deberta_torch.kernels.skew import PositionRows, position_products, skew

BATCH, HEADS, WIDTH = 3, 2, 4
SIZES = [(7, 7), (9, 4), (5, 11)]
TERMS = [(True, True), (True, False), (False, True), (False, False)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of two texts, and blocks that do not divide the length."""
    monkeypatch.setattr(module, "_PART", 2 * 7 * 7)
    monkeypatch.setattr(module, "_BLOCK", 3)
    monkeypatch.setattr(module, "_SHORTEST", 4)
    torch.manual_seed(0)


def heads(length: int, *batch: int) -> Tensor:
    """As the model makes them: heads are columns of one tensor."""
    whole = torch.randn(*batch, length, HEADS, WIDTH, dtype=torch.float64, requires_grad=True)
    return whole.transpose(-2, -3)


def inputs(queries: int, keys: int, terms=(True, True)) -> tuple[list[Tensor], PositionRows | None]:
    query, key, value = heads(queries, BATCH), heads(keys, BATCH), heads(keys, BATCH)
    by_key, by_query = (heads(queries + keys) if term else None for term in terms)
    given = [part for part in (query, key, value, by_key, by_query) if part is not None]
    return given, PositionRows(by_key, by_query, 5) if any(terms) else None


def in_steps(
    given: list[Tensor], rows: PositionRows | None, visible: Tensor | None, kept: Tensor | float = 1.0
) -> Tensor:
    """The same by operators whose gradients are torch's."""
    query, key, value = given[:3]
    scores = query @ key.transpose(-1, -2)
    if rows is not None and rows.key is not None:
        scores = scores + skew(position_products(query, rows.key), key.shape[2]).transpose(0, 1)
    if rows is not None and rows.query is not None:
        by_key = skew(position_products(key, rows.query), query.shape[2]).transpose(0, 1)
        scores = scores + by_key.transpose(-1, -2)
    if visible is not None:
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) * kept) @ value


def assert_same(found: Tensor, expected: Tensor, given: list[Tensor]) -> None:
    """Values and all gradients."""
    weights = torch.randn(found.shape[0], found.shape[2], HEADS, WIDTH, dtype=torch.float64).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad((of * weights).sum(), given) for of in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_values_and_gradients(queries, keys, terms):
    given, rows = inputs(queries, keys, terms)
    found = attend_recorded(*given[:3], None, rows, 0.0)
    assert_same(found, in_steps(given, rows, None), given)


@pytest.mark.parametrize("form", ["keys", "pairs"])
def test_hidden_keys(form):
    given, rows = inputs(7, 7)
    visible = torch.rand(BATCH, 1, 1 if form == "keys" else 7, 7) < 0.6
    visible[..., 2] = True
    found = attend_recorded(*given[:3], visible, rows, 0.0)
    assert_same(found, in_steps(given, rows, visible), given)
    of_first = attend_recorded(*given[:3], visible, rows, 0.0)[0, :, 0].sum()
    gradient = torch.autograd.grad(of_first, given[2])[0]
    assert not gradient[0][:, ~visible[0, 0, 0]].any()


def dropped_places(given: list[Tensor], rows: PositionRows | None, dropout: float, seed: int) -> Tensor:
    """Which probabilities stay, `[B, H, Q, K]`: the context of values that tell the keys apart."""
    keys = given[1].shape[2]
    unit = torch.eye(keys, dtype=torch.float64).expand(BATCH, HEADS, keys, keys)
    torch.manual_seed(seed)
    return attend_recorded(given[0], given[1], unit, None, rows, dropout).detach() != 0


def test_dropout_is_the_same_forward_and_backward():
    given, rows = inputs(7, 7)
    kept = dropped_places(given, rows, 0.3, seed=5)
    assert 0.2 < 1 - kept.double().mean() < 0.4
    assert len({tuple(part.flatten().tolist()) for texts in kept for part in texts}) == BATCH * HEADS  # all differ
    factor = 65536 / (65536 - round(0.3 * 65536))
    torch.manual_seed(5)
    found = attend_recorded(*given[:3], None, rows, 0.3)
    assert_same(found, in_steps(given, rows, None, kept * factor), given)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_of_gradients(dropout):
    given, rows = inputs(5, 6)
    visible = torch.ones(BATCH, 1, 1, 6, dtype=torch.bool)
    visible[1, ..., 4:] = False

    def again(*parts: Tensor) -> Tensor:
        torch.manual_seed(1)
        return attend_recorded(*parts[:3], visible, rows._replace(key=parts[3], query=parts[4]), dropout).square()

    assert torch.autograd.gradgradcheck(again, given, fast_mode=True)


def test_one_number_is_kept_for_a_score():
    given, rows = inputs(7, 7)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        attend_recorded(*given[:3], None, rows, 0.1)
    assert sum(t.numel() for t in kept if t.ndim == 4 and t.shape[-1] == 7) == BATCH * HEADS * 7 * 7


def test_only_where_gradients_are_recorded_eagerly():
    given, _ = inputs(7, 7)
    assert records_in_parts(*given[:3])
    assert not records_in_parts(*(part[:, :, :3] for part in given[:3]))
    assert not records_in_parts(*(part.half() for part in given[:3]))
    assert not records_in_parts(*(part.to("meta") for part in given[:3]))
    with torch.autocast("cpu"):
        assert not records_in_parts(*given[:3])
    seen = []
    torch.func.grad(lambda query: seen.append(records_in_parts(query, *given[1:3])) or query.sum())(given[0])
    assert seen == [False]


@pytest.mark.parametrize("mask", ["none", "padding", "pairs"])
def test_a_model_trains_as_with_eager_attention(mask, monkeypatch):
    config = DebertaV2Config(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        relative_attention=True, position_buckets=4, pos_att_type="p2c|c2p", norm_rel_ebd="layer_norm",
        share_att_key=True, position_biased_input=False, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = DebertaV2Model(config).train()
    ids = torch.randint(1, 50, (3, 20))
    lengths = torch.tensor([20, 13, 1])
    keep = (torch.arange(20) < lengths[:, None]).long()
    masks = {"none": None, "padding": keep, "pairs": (keep[:, :, None] * keep[:, None]).tril()}
    calls = []
    monkeypatch.setattr(
        attention_functions, "attend_recorded", lambda *given: calls.append(1) or attend_recorded(*given)
    )
    # Not its square, of which a LayerNorm makes a constant: gradients would be rounding alone.
    direction = torch.randn(*ids.shape, config.hidden_size)
    gradients = {}
    for name in ("sdpa", "eager"):
        model.set_attn_implementation(name)
        model.zero_grad()
        out = model(input_ids=ids, attention_mask=masks[mask]).last_hidden_state
        (out * direction * keep[..., None]).sum().backward()
        gradients[name] = [own.grad.clone() for own in model.parameters()]
    assert len(calls) == 2
    for name, found, expected in zip(dict(model.named_parameters()), *gradients.values(), strict=True):
        assert_close(found.numpy(), expected.numpy(), quantity="gradient", name=name)
