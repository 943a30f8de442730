"""Our own ONNX graph in ONNX Runtime, against the reference and the goldens."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close, assert_outputs_close
from conformance.suite.golden import goldens
from conformance.suite.subjects import VALUE_RUNS, subject
from deberta_core import DebertaV2Config
from deberta_core.errors import InputError
from deberta_core.reference.forward import forward
from deberta_dual.exporting.graph import build_graph

runtime = pytest.importorskip("onnxruntime")
TAKEN = {"input_ids", "attention_mask", "token_type_ids"}


def session(model):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model, config, inputs):
    """The outputs by name; what the caller leaves out is what the models take for it."""
    ids = inputs["input_ids"]
    given = {"input_ids": ids, "attention_mask": inputs.get("attention_mask", np.ones_like(ids))}
    if config.type_vocab_size:
        given["token_type_ids"] = inputs.get("token_type_ids", np.zeros_like(ids))
    loaded = session(model)
    names = [one.name for one in loaded.get_outputs()]
    return dict(
        zip(names, loaded.run(None, {name: array.astype(np.int64) for name, array in given.items()}), strict=True)
    )


def is_taken(inputs):
    mask = inputs.get("attention_mask")
    labels = {"labels", "start_positions", "end_positions"}
    return set(inputs) <= TAKEN | labels and (mask is None or mask.shape == inputs["input_ids"].shape)


GOLDENS = [one for one in goldens() if is_taken(one.values[0].tensors("input"))]


@pytest.mark.parametrize("case", VALUE_RUNS, ids="-".join)
def test_outputs(case):
    known = subject(*case)
    if not is_taken(known.inputs):
        pytest.skip("position_ids are no input of the graph")
    model = build_graph(known.config, known.params, known.task)
    onnx.checker.check_model(model, full_check=True)
    found = run(model, known.config, known.inputs)
    assert next(iter(found)) in known.expected
    assert_outputs_close(found, known.expected, known.mask)


@pytest.mark.parametrize("case", CASES)
def test_weights_in_16_bits(case):
    known = subject(case)
    if not is_taken(known.inputs):
        pytest.skip("position_ids are no input of the graph")
    found = run(build_graph(known.config, known.params, storage="float16"), known.config, known.inputs)
    assert_outputs_close(found, known.expected, known.mask, quantity="exported float16")
    found = run(build_graph(known.config, known.params, storage="bfloat16"), known.config, known.inputs)
    assert_outputs_close(found, known.expected, known.mask, quantity="exported bfloat16")


@pytest.mark.parametrize("golden", GOLDENS)
def test_goldens(golden):
    found = run(build_graph(golden.config, golden.params(), golden.task), golden.config, golden.tensors("input"))
    for kind in ("output", "tf_output"):
        expected = golden.tensors(kind)
        chosen = {name: array for name, array in found.items() if name in expected}
        assert_outputs_close(chosen, expected, golden.mask(), quantity="golden")


@pytest.mark.parametrize("length", [1, 2, 63, 256, 600])
@pytest.mark.parametrize("terms", [("c2p", "p2c"), ("c2p",), ("p2c",)])
def test_every_length(length, terms):
    config = CASES["v3_like"].config.replace(pos_att_type=terms)
    params = random_params(config, None)
    ids = np.random.default_rng(length).integers(0, config.vocab_size, (2, length))
    mask = np.ones_like(ids)
    mask[1, : length // 3] = 0  # padding on the left
    inputs = {"input_ids": ids, "attention_mask": mask}
    found = run(build_graph(config, params), config, inputs)
    assert_outputs_close(found, forward(config, params, inputs), mask.astype(bool))


def test_a_row_of_padding_is_finite_and_nothing_leaks_from_padding():
    config = CASES["v2_conv"].config
    model = build_graph(config, random_params(config, "sequence_classification"), "sequence_classification")
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (2, 9))
    mask = np.array([[1] * 6 + [0] * 3, [0] * 9])
    first = run(model, config, {"input_ids": ids, "attention_mask": mask})["logits"]
    assert np.isfinite(first).all()
    ids[0, 6:] = 1
    assert np.array_equal(first[0], run(model, config, {"input_ids": ids, "attention_mask": mask})["logits"][0])


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_vectors(pooling):
    known = subject("v3_like")
    model = build_graph(known.config, known.params, pooling=pooling, normalize=True)
    vectors = run(model, known.config, known.inputs)["sentence_embedding"]
    for row, hidden, mask in zip(vectors, known.expected["last_hidden_state"], known.mask, strict=True):
        own = hidden[mask]
        wanted = {"cls": own[0], "mean": own.mean(axis=0), "max": own.max(axis=0)}[pooling]
        assert_close(row, wanted / np.linalg.norm(wanted), quantity="hidden", name=pooling)


def test_position_rows_are_folded_and_linear_layers_are_plain_products():
    config = CASES["v3_like"].config
    model = build_graph(config, random_params(config, None))
    sizes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    products = [node.input[1] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in sizes]
    # Query and key in one; value; the attention's output; two of the feed-forward block.
    assert len(products) == 5 * config.num_hidden_layers
    assert all(len(sizes[name]) == 2 for name in products)
    # No parameter of the relative table is left to be projected in every call.
    assert not [name for name in sizes if "rel_embeddings" in name]
    assert sum(name.endswith(".positions") for name in sizes) == config.num_hidden_layers


def test_layers_slice_nothing_and_read_whole_rows():
    """ONNX Runtime slices in one thread, whatever the processor."""

    def operators(layers):
        config = CASES["v3_like"].config.replace(num_hidden_layers=layers)
        return [node.op_type for node in build_graph(config, random_params(config, None)).graph.node]

    one, three = operators(1), operators(3)
    assert one.count("Slice") == three.count("Slice")
    # The rows of the relative table, and the scores of two terms.
    assert three.count("Gather") - one.count("Gather") == 2 * 3


@pytest.mark.parametrize("length", [1, 2, 9])
def test_texts_of_few_tokens(length):
    known = subject("v3_like")
    ids = np.arange(length)[None] % known.config.vocab_size
    wanted = forward(known.config, known.params, {"input_ids": ids})
    found = run(build_graph(known.config, known.params), known.config, {"input_ids": ids})
    assert_outputs_close(found, {name: wanted[name] for name in found}, np.ones(ids.shape, dtype=bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "float8"}, "storage='float8'"),
        ({"ids": "int16"}, "ids='int16'"),
        ({"pooling": "median"}, "pooling='median'"),
        ({"pooling": "mean", "task": "masked_lm"}, "pooling='mean' is of the backbone"),
    ],
)
def test_what_is_refused(options, message):
    config = DebertaV2Config(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    with pytest.raises(InputError, match=message):
        build_graph(config, {}, **options)


def test_ids_of_32_bits():
    known = subject("v3_like")
    model = build_graph(known.config, known.params, ids="int32")
    loaded = session(model)
    assert {one.type for one in loaded.get_inputs()} == {"tensor(int32)"}
    given = {name: known.inputs[name].astype(np.int32) for name in ("input_ids", "attention_mask")}
    found = {"last_hidden_state": loaded.run(None, given)[0]}
    assert_outputs_close(found, known.expected, known.mask)
