"""The executable specification: terms, dtypes, masks, and what it needs to be imported."""

import math
import subprocess
import sys

import numpy as np
import pytest

from conformance.suite.cases import CASES, random_inputs, random_params
from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError, reference
from deberta_core.positions import position_indices
from deberta_core.reference.arrays import log_softmax

TASK = "sequence_classification"


def forward(config, task=None, params=None, dtype=np.float64, **inputs):
    params = random_params(config, task) if params is None else params
    return reference.forward(config, params, inputs, task, dtype=dtype)


def score_parts(query_count=5, key_count=7, heads=2, width=3, rows=8, seed=0):
    random = np.random.default_rng(seed)
    shapes = [(1, heads, query_count, width), (1, heads, key_count, width), (heads, rows, width), (heads, rows, width)]
    return [random.standard_normal(shape) for shape in shapes]


# Scores


@pytest.mark.parametrize(("query_count", "key_count"), [(5, 7), (7, 5), (1, 1), (6, 6)])
def test_scores_are_the_sums_of_the_specification(query_count, key_count):
    """Element by element; delta(j, i) instead of delta(i, j) in the position-to-content term would fail."""
    config = DebertaV2Config(position_buckets=4, max_relative_positions=4)
    query, key, pos_key, pos_query = score_parts(query_count, key_count)
    index = position_indices(query_count, key_count, config)
    parts = reference.score_components(query, key, pos_key, pos_query, index, 0.5)
    other_sign = np.empty_like(parts["p2c"])
    for head in range(2):
        for i in range(query_count):
            for j in range(key_count):
                row = min(max(i - j, -4), 3) + 4
                other = min(max(j - i, -4), 3) + 4
                at = (0, head, i, j)
                q, k = query[0, head, i], key[0, head, j]
                assert parts["content"][at] == pytest.approx(0.5 * q @ k)
                assert parts["c2p"][at] == pytest.approx(0.5 * q @ pos_key[head, row])
                assert parts["p2c"][at] == pytest.approx(0.5 * k @ pos_query[head, row])
                other_sign[at] = 0.5 * k @ pos_query[head, other]
    if query_count > 1:
        assert np.abs(other_sign - parts["p2c"]).max() > 0.1
    total = reference.disentangled_scores(query, key, pos_key, pos_query, index, 0.5)
    np.testing.assert_array_equal(total, parts["content"] + parts["c2p"] + parts["p2c"])


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("v3_like", {"content", "c2p", "p2c"}),
        ("v2_c2p", {"content", "c2p"}),
        ("v2_p2c", {"content", "p2c"}),
        ("v2_no_terms", {"content"}),
        ("v2_no_relative", {"content"}),
    ],
)
def test_components_explain_the_attention(name, terms):
    case = CASES[name]
    inputs = random_inputs(case.config, case.length, side="none")
    outputs = forward(case.config, **inputs)
    for layer in range(case.config.num_hidden_layers):
        prefix = f"scores.{layer}."
        parts = {key.removeprefix(prefix): value for key, value in outputs.items() if key.startswith(prefix)}
        assert set(parts) == terms
        expected = np.exp(log_softmax(sum(parts.values())))
        assert_close(outputs[f"attentions.{layer}"], expected, quantity="attentions", name=name)


@pytest.mark.parametrize(("terms", "factors"), [("c2p|p2c", 3), ("c2p", 2), (None, 1)])
@pytest.mark.parametrize("relative", [True, False])
def test_scale_counts_the_configured_terms(terms, factors, relative):
    """Also without relative attention (NUMERICS 3)."""
    config = CASES["v3_like"].config.replace(pos_att_type=terms, relative_attention=relative, num_hidden_layers=1)
    params = random_params(config, None)
    inputs = random_inputs(config, 5, side="none")
    outputs = forward(config, params=params, **inputs)
    own = "encoder.layer.0.attention.self."
    hidden = outputs["hidden_states.0"]
    query, key = (
        hidden @ params[f"{own}{name}.weight"].T.astype(float) + params[f"{own}{name}.bias"]
        for name in ("query_proj", "key_proj")
    )
    expected = query[0, 2, 8:16] @ key[0, 3, 8:16] / math.sqrt(8 * factors)
    assert outputs["scores.0.content"][0, 1, 2, 3] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["v1_like", "v1_head_size", "v1_pruned_heads", "v3_like"])
def test_queries_from_another_source(name):
    """The query is made of the other source alone, key and value of the hidden states alone."""
    config, random = CASES[name].config, np.random.default_rng(0)
    scope = reference.Scope(random_params(config, None)) / "encoder" / "layer" / 0 / "attention" / "self"
    hidden, other = random.standard_normal((2, 2, 5, config.hidden_size))
    parts = reference.content(config, scope, hidden, query=other[:, :3])
    expected = (reference.content(config, scope, other[:, :3])[0], *reference.content(config, scope, hidden)[1:])
    for kind, actual, wanted in zip("qkv", parts, expected, strict=True):
        assert_close(actual, wanted, quantity="hidden", name=kind)


@pytest.mark.parametrize("name", ["v1_talking_head", "v3_like"])
def test_attention_with_a_query(name):
    """Each output row is of its own query row, also as the residual, and sees keys and values of the hidden states."""
    config, random = CASES[name].config, np.random.default_rng(1)
    scope = reference.Scope(random_params(config, None)) / "encoder"
    own, table = scope / "layer" / 1 / "attention", reference.relative_table(config, scope)
    hidden, other = random.standard_normal((2, 2, 6, config.hidden_size))
    allowed, index = np.ones((2, 1, 1, 6), bool), position_indices(6, 6, config)

    def attend(hidden, **query):
        return reference.attention(config, own, hidden, allowed, table, index, **query)[0]

    plain, crossed = attend(hidden), attend(hidden, query=other)
    assert_close(attend(hidden, query=hidden), plain, quantity="hidden", name="itself")
    mixed = np.where(np.arange(6)[:, None] < 3, hidden, other)
    expected = np.where(np.arange(6)[:, None] < 3, plain, crossed)
    assert_close(attend(hidden, query=mixed), expected, quantity="hidden", name="row by row")
    # Where the output projection is zero, the residual alone is left of the block.
    weights = {name: value.astype(float) for name, value in random_params(config, None).items()}
    weights = {name: 0 * value if ".output.dense." in name else value for name, value in weights.items()}
    scope = reference.Scope(weights) / "encoder"
    own = scope / "layer" / 1 / "attention"
    expected = reference.layer_norm(other, own / "output" / "LayerNorm", config.layer_norm_eps)
    assert_close(attend(hidden, query=other), expected, quantity="hidden", name="residual")


def test_without_relative_attention_the_buckets_do_not_matter():
    """Buckets no table could have are allowed there, and nothing is computed from them."""
    config = CASES["v2_no_relative"].config.replace(position_buckets=2 * 63, max_position_embeddings=64)
    inputs = random_inputs(config, 9)
    plain = forward(config.replace(position_buckets=-1), **inputs)
    np.testing.assert_array_equal(forward(config, **inputs)["last_hidden_state"], plain["last_hidden_state"])


# Masks and heads


@pytest.mark.parametrize("name", ["v3_like", "v2_conv"])
def test_left_padding_gives_the_logits_of_the_text_alone(name):
    case = CASES[name]
    ids = np.random.default_rng(0).integers(1, case.config.vocab_size, (1, 9))
    alone = forward(case.config, TASK, input_ids=ids)
    for side in ((4, 0), (0, 4), (2, 2)):
        padded = {
            "input_ids": np.pad(ids, ((0, 0), side)),
            "attention_mask": np.pad(np.ones_like(ids), ((0, 0), side)),
        }
        logits = forward(case.config, TASK, **padded)["logits"]
        assert_close(logits, alone["logits"], quantity="logits", name=f"{name} {side}")


def test_the_context_token_is_the_first_real_one():
    config = CASES["v3_like"].config.replace(pooler_hidden_act="linear")
    hidden = np.random.default_rng(0).standard_normal((3, 4, 32))
    mask = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    scope = reference.Scope({"dense.weight": np.eye(32), "dense.bias": np.zeros(32)})
    pooled = reference.context_pooler(config, scope, hidden, mask)
    np.testing.assert_array_equal(pooled, hidden[[0, 1, 2], [2, 0, 0]])


def test_masks_of_every_form():
    mask = np.array([[1, 1, 0]])
    wide = np.array([[[1, 0, 0], [1, 0, 0], [0, 0, 0]]])
    assert reference.key_mask(mask).tolist() == [[[[True, True, False]]]]
    assert reference.key_mask(wide).shape == reference.key_mask(wide[:, None]).shape == (1, 1, 3, 3)
    assert reference.token_mask(mask).tolist() == [[True, True, False]]
    assert reference.token_mask(wide).tolist() == reference.token_mask(wide[:, None]).tolist() == [[True, False, False]]


def test_softmax_hides_and_survives():
    scores = np.array([[1e4, 0.0, -1e4], [5.0, 5.0, 5.0]])
    allowed = np.array([[False, True, True], [False, False, False]])
    assert reference.softmax(scores, allowed).tolist() == [[0, 1, 0], [0, 0, 0]]


# Numbers


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("name", ["v3_like", "v2_conv_groups", "v2_embedding_ne_hidden", "v2_mish", "v2_gelu_fast"])
def test_the_dtype_stays(name, dtype):
    config = CASES[name].config
    outputs = forward(config, TASK, dtype=dtype, **random_inputs(config, 7), labels=np.array([0, 1, -100]))
    assert {key for key, value in outputs.items() if value.dtype != np.dtype(dtype)} == set()
    assert all(np.isfinite(value).all() for value in outputs.values())


def test_float32_is_near_float64():
    config = CASES["v3_like"].config
    inputs = random_inputs(config, 17)
    single, double = (forward(config, dtype=dtype, **inputs)["last_hidden_state"] for dtype in ("float32", "float64"))
    error = assert_close(single, double, quantity="hidden", name="last_hidden_state")
    assert error > 0


def test_erf_is_exact():
    """gelu(x) = x * Phi(x), with Phi from tables, far in both tails."""
    known = {0.0: 0.0, 1.0: 0.8413447460685429, -1.0: -0.15865525393145707, 3.0: 2.99595030590511, -5.0: -1.433258e-06}
    values = reference.activation("gelu", np.array(list(known)))
    np.testing.assert_array_almost_equal(values, list(known.values()), decimal=12)


@pytest.mark.parametrize("name", reference.ACTIVATION_FUNCTIONS)
def test_activations_by_hand(name):
    x = 0.7
    cube = x + 0.044715 * x**3
    sigmoid = 1 / (1 + math.exp(-x))
    expected = {
        "gelu": x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
        "gelu_new": 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * cube)),
        "gelu_fast": 0.5 * x * (1 + math.tanh(0.7978845608 * x * (1 + 0.044715 * x * x))),
        "relu": x,
        "silu": x * sigmoid,
        "swish": x * sigmoid,
        "tanh": math.tanh(x),
        "sigmoid": sigmoid,
        "mish": x * math.tanh(math.log1p(math.exp(x))),
        "linear": x,
    }[name]
    assert reference.activation(name, np.array([x]))[0] == pytest.approx(expected)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(reference.activation(name, np.array([-1e3, 1e3], np.float32))).all()


# Parameters, inputs, imports


def test_a_missing_parameter_is_named():
    config = CASES["v3_like"].config
    params = random_params(config, None)
    del params["encoder.layer.1.output.dense.weight"]
    with pytest.raises(KeyError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        forward(config, params=params, input_ids=np.zeros((1, 2), int))


def test_backbone_names_with_or_without_their_prefix():
    config = CASES["v3_like"].config
    params, ids = random_params(config, None), np.arange(6)[None]
    prefixed = {f"deberta.{name}": value for name, value in params.items()}
    one, other = (forward(config, params=names, input_ids=ids)["last_hidden_state"] for names in (params, prefixed))
    np.testing.assert_array_equal(one, other)


def test_an_unknown_task_lists_the_known():
    with pytest.raises(InputError, match=r"task='summarize' is unknown.*sequence_classification"):
        forward(CASES["v3_like"].config, "summarize", params={}, input_ids=np.zeros((1, 2), int))


def test_inputs_are_checked():
    with pytest.raises(InputError, match=r"input_ids holds 97"):
        forward(CASES["v3_like"].config, input_ids=np.array([[1, 97]]))


_NUMPY_ALONE = """
import sys

class Refuse:
    own = {"numpy", "deberta_core"} | sys.stdlib_module_names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.own:
            raise ImportError(f"{name} is refused")

sys.meta_path.insert(0, Refuse())
import deberta_core
from deberta_core import DebertaV2Config, reference, config, presets, positions, parameters, inputs, outputs, tasks
made = DebertaV2Config(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
params = {name: 0.1 + 0 * __import__("numpy").ones(p.shape) for name, p in parameters.expand(made, None).items()}
print(reference.forward(made, params, {"input_ids": [[1, 2]]})["last_hidden_state"].shape)
"""


def test_the_core_imports_and_computes_with_numpy_alone():
    done = subprocess.run([sys.executable, "-c", _NUMPY_ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 2, 8)"
