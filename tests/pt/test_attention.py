"""The producer of the position bias, `skew`, and half precision."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.suite.cases import CASES, padding_mask, random_params
from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, reference
from deberta_core.positions import position_indices
from deberta_torch import DebertaModel, DebertaV2Model
from deberta_torch.attention import DisentangledSelfAttention, RelativePositions
from deberta_torch.encoder import Encoder
from deberta_torch.kernels.attention_functions import ATTENTION_FUNCTIONS
from deberta_torch.kernels.skew import skew
from deberta_torch.masks import make_masks

sizes = st.integers(1, 12)


def config(terms="c2p|p2c", width=8, **changes) -> DebertaV2Config:
    fixed = {"vocab_size": 10, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4}
    fixed |= {"hidden_size": 2 * width, "max_relative_positions": 6, "position_buckets": 4, "hidden_dropout_prob": 0.0}
    return DebertaV2Config(**fixed | {"attention_probs_dropout_prob": 0.0, "pos_att_type": terms} | changes)


class Fixed(DisentangledSelfAttention):
    """Takes the hidden states as query, key and value, and the table as both position projections."""

    def content(self, hidden, query=None):
        return hidden if query is None else query, hidden, hidden

    def position_key(self, rows):
        return rows

    def position_query(self, rows):
        return rows


@settings(deadline=None, max_examples=60, derandomize=True)
@given(rows=sizes, columns=sizes, leading=st.sampled_from([(), (2,), (2, 3)]))
def test_skew_is_a_gather(rows, columns, leading):
    products = torch.arange(np.prod([*leading, rows, rows + columns])).reshape(*leading, rows, rows + columns)
    index = torch.arange(columns)[None] - torch.arange(rows)[:, None] + rows - 1
    expected = products.gather(-1, index.expand(*leading, rows, columns))
    assert torch.equal(skew(products, columns), expected)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    queries=sizes,
    keys=sizes,
    terms=st.sampled_from(["c2p", "p2c", "c2p|p2c"]),
    buckets=st.sampled_from([-1, 4, 6]),
    distance=st.integers(5, 9),
)
def test_the_bias_is_the_gather_of_the_reference(queries, keys, terms, buckets, distance):
    """For any lengths, also where queries and keys are not equally many."""
    made = config(terms, position_buckets=buckets, max_relative_positions=distance)
    random = np.random.default_rng(queries * 13 + keys)
    query = random.standard_normal((2, 2, queries, 8))
    key = random.standard_normal((2, 2, keys, 8))
    table = random.standard_normal((made.table_rows, 16))
    encoder = Encoder(made).double()
    encoder.rel_embeddings.weight.data.copy_(torch.from_numpy(table))
    layer = Fixed(made, 0)
    with torch.no_grad():
        bias = layer.position_bias(
            torch.from_numpy(query) * layer.scale, torch.from_numpy(key), encoder.relative_positions(queries, keys)
        )
    by_head = table.reshape(-1, 2, 8).swapaxes(0, 1)
    parts = reference.score_components(
        query,
        key,
        by_head if "c2p" in terms else None,
        by_head if "p2c" in terms else None,
        position_indices(queries, keys, made),
        layer.scale,
    )
    del parts["content"]
    assert_close(bias.numpy(), sum(parts.values()), quantity="hidden", name=f"{terms} {queries} x {keys}")


def test_the_rows_are_those_of_key_minus_query():
    """Of the table, [6, 16], the four rows that these lengths reach are there and no other."""
    made = config(position_buckets=-1, max_relative_positions=3, norm_rel_ebd="none")
    encoder = Encoder(made)
    encoder.rel_embeddings.weight.data = torch.arange(6.0)[:, None].expand(6, 16).clone()
    positions = encoder.relative_positions(2, 4)
    assert positions.table[positions.rows, 0].tolist()[1:-1] == [4, 3, 2, 1, 0]  # key - query = -1, ..., 3
    assert positions.table[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert encoder.relative_positions(2, 1).table[:, 0].tolist() == [3, 4]
    assert encoder.relative_positions(9, 9).table[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert positions.reach == 3
    assert Encoder(config(relative_attention=False)).relative_positions(2, 4) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("terms", ["c2p|p2c", "c2p", "p2c", None])
def test_half_precision_does_not_overflow_in_the_scores(terms, dtype):
    """Elements of 40 at head width 64: each unscaled product is 102,400, above float16's 65,504."""
    made = config(terms, width=64)
    layer = Fixed(made, 0).eval().to(dtype)
    assert torch.finfo(torch.float16).max < 40 * 40 * 64
    hidden = torch.full((1, 7, 128), 40.0, dtype=dtype)
    hidden[:, 3:] *= -1  # scores of both signs
    table = torch.full((made.table_rows, 128), 40.0, dtype=dtype)
    whole = Encoder(made).relative_positions(7, 7)
    positions = RelativePositions(table, whole.rows, whole.reach)
    by_head = hidden.unflatten(-1, (2, 64)).transpose(1, 2)
    with torch.no_grad():
        context, probabilities = layer(hidden, make_masks(None, 1, 7, hidden.device), positions)
        if terms:
            assert layer.position_bias(by_head * layer.scale, by_head, positions).isfinite().all()
    assert context.isfinite().all()
    assert probabilities.dtype == dtype
    assert torch.equal(probabilities[0, 0].sum(-1).round(decimals=2), torch.ones(7, dtype=dtype))


def test_the_softmax_is_in_float32():
    """Also in a bfloat16 model."""
    layer = Fixed(config(None), 0).eval().bfloat16()
    seen = []
    softmax = torch.Tensor.softmax

    def spy(self, *args, **kwargs):
        seen.append(self.dtype)
        return softmax(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.Tensor, "softmax", spy)
        layer(torch.randn(1, 3, 16).bfloat16(), make_masks(None, 1, 3, torch.device("cpu")), None)
    assert seen == [torch.float32]


def test_hidden_keys_have_no_weight_at_all():
    made = config()
    layer = Fixed(made, 0).eval()
    positions = Encoder(made).relative_positions(5, 5)
    hidden = 10 * torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    with torch.no_grad():
        context, probabilities = layer(hidden, make_masks(mask, 2, 5, hidden.device), positions)
    assert (probabilities[0][..., mask[0] == 0] == 0).all()
    assert (probabilities[1] == 0).all()
    assert (context[1] == 0).all()


@pytest.mark.parametrize(("rank", "dtype"), [*itertools.product([2, 3, 4], [torch.bool, torch.int64, torch.float16])])
def test_masks(rank, dtype):
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    wide = {2: mask, 3: mask[:, None].expand(2, 3, 3), 4: mask[:, None, None].expand(2, 1, 3, 3)}[rank].to(dtype)
    masks = make_masks(wide, 2, 3, torch.device("cpu"))
    assert torch.equal(masks.tokens, mask.bool())
    assert torch.equal(masks.keys.expand(2, 1, 3, 3), mask.bool()[:, None, None].expand(2, 1, 3, 3))
    assert masks.queries.expand(2, 1, 3, 1).flatten(1).tolist() == [[True] * 3, [False] * 3]
    assert masks.hides_keys
    assert masks.hides_queries


def test_what_a_mask_is_known_not_to_hide():
    cpu = torch.device("cpu")
    ones, padded = torch.ones(2, 3), torch.tensor([[1, 1, 0], [1, 0, 0]])
    for mask, hides in ((None, False), (ones, False), (padded, True), (ones[:, None].expand(2, 3, 3), False)):
        masks = make_masks(mask, 2, 3, cpu)
        assert masks.hides_keys is hides
        assert masks.hides_queries is False
    assert make_masks(ones.to("meta"), 2, 3, torch.device("meta")).hides_keys  # nothing is known of it
    assert torch.func.vmap(lambda mask: torch.tensor(make_masks(mask, 2, 3, cpu).hides_keys))(
        ones.expand(2, 2, 3)
    ).all()


# Queries from another source than keys and values


def filled(name):
    """A lively model of a case in evaluation mode, and two sources `[2, L, C]`."""
    made, length = CASES[name].config, 7
    model = (DebertaModel if made.model_type == "deberta" else DebertaV2Model)(made).eval()
    model.load_state_dict({key: torch.from_numpy(value) for key, value in random_params(made, None).items()})
    sources = np.random.default_rng(0).standard_normal((2, 2, length, made.hidden_size)).astype(np.float32)
    return model, sources


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["v1_like", "v1_head_size", "v1_pruned_heads", "v3_like"])
def test_content_with_a_query(name, dtype):
    """The query is made of the other source alone, key and value of the hidden states alone; also under autocast."""
    model, sources = filled(name)
    layer = model.encoder.layer[0].attention.self
    hidden, other = map(torch.from_numpy, sources)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        parts = layer.content(hidden, query=other[:, :4])
        expected = (layer.content(other[:, :4])[0], *layer.content(hidden)[1:])
    for kind, actual, wanted in zip("qkv", parts, expected, strict=True):
        assert actual.dtype == wanted.dtype == dtype
        quantity = "hidden" if dtype == torch.float32 else "fused bfloat16"
        assert_close(actual.float().numpy(), wanted.float().numpy(), quantity=quantity, name=kind)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("queries", [7, 4])
@pytest.mark.parametrize("name", ["v1_like", "v1_talking_head", "v3_like", "v2_unshared_c2p", "v2_no_terms"])
def test_a_layer_with_a_query(name, queries, implementation):
    """Against the reference: queries and residual of the other source, keys and values of the hidden states."""
    model, (hidden, other) = filled(name)
    if implementation == "sdpa" and model.config.mixes_heads:
        implementation = "eager"
    other, mask = other[:, :queries], padding_mask(2, 7)
    with torch.no_grad():
        found = model.encoder.layer[1](
            torch.from_numpy(hidden),
            make_masks(torch.from_numpy(mask), 2, 7, torch.device("cpu")),
            model.encoder.relative_positions(queries, 7),
            ATTENTION_FUNCTIONS[implementation],
            torch.from_numpy(other),
        )
    scope = reference.Scope({key: value.astype(float) for key, value in random_params(model.config, None).items()})
    expected = reference.layer(
        model.config,
        scope / "encoder" / "layer" / 1,
        hidden.astype(float),
        reference.key_mask(mask),
        reference.relative_table(model.config, scope / "encoder"),
        position_indices(queries, 7, model.config),
        query=other.astype(float),
    )
    assert_close(found[0].numpy(), expected[0], quantity="hidden", name="hidden states")
    if implementation == "eager":
        assert_close(found[1].numpy(), expected[1], quantity="attentions", name="probabilities")
