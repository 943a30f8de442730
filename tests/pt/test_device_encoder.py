"""`optimize` on accelerators, tried on the CPU: packing, buckets, graphs that leave, threads, changed weights."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch

import deberta_torch
from conformance.suite.compare import assert_close, relative_error
from conformance.tolerances import TOLERANCES
from deberta_core.errors import InputError
from deberta_torch import optimize, restore
from deberta_torch.inference.device_encoder import DeviceEncoder
from deberta_torch.plans import Bucket, bucket_of, make_plan
from tests.pt.on_device import on_device  # noqa: F401
from tests.pt.optimized import MASKS, NAMES, compare, ids, make, mask_of

pytestmark = pytest.mark.usefixtures("on_device")


def test_a_plan_leaves_out_padding_on_either_side():
    plan = make_plan(mask_of((0, 5), (2, 4), (0, 0), (1, 5), length=5), 4, 5)
    assert plan.kept.tolist() == [0, 1, 2, 3, 4, 7, 8, 16, 17, 18, 19]
    assert plan.starts.tolist() == [0, 5, 7, 7, 11]
    assert (plan.longest, plan.tokens) == (5, 11)


def test_what_has_no_plan():
    assert make_plan(torch.tensor([[1, 0, 1]]), 1, 3) is None
    assert make_plan(torch.zeros(2, 3), 2, 3) is None
    assert make_plan(None, 0, 3) is None
    assert make_plan(torch.ones(2, 3), 2, 3).kept is None
    assert make_plan(None, 2, 3).starts.tolist() == [0, 3, 6]


@pytest.mark.parametrize("texts", [1, 3, 16, 33])
@pytest.mark.parametrize("length", [1, 7, 128, 500])
def test_a_bucket_holds_its_plan_and_is_little_larger(texts, length):
    plan = make_plan(None, texts, length)
    for bits in (Bucket(1, 4, 2), Bucket(3, 4, 4)):
        bucket = bucket_of(plan, bits)
        assert bucket.tokens >= plan.tokens
        assert bucket.texts >= texts
        assert bucket.longest >= length
        for size, own, bit in zip(bucket, (texts, plan.tokens, length), bits, strict=True):
            assert size < own * (1 + 2.0 ** (1 - bit)) + 1
            assert bucket_of(plan, bits) == bucket


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration(name):
    compare(make(name), ids(), attention_mask=MASKS["left"]())


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv", "v2_absolute_types"])
def test_every_form_of_mask_eagerly_recorded_and_replayed(name, form):
    model, mask = make(name), MASKS[form]()
    inputs = [ids(), ids().flip(1), ids(), ids().flip(1)]
    with torch.no_grad():
        expected = [model(part, mask).last_hidden_state for part in inputs]
        optimize(model)
        actual = [model(part, mask).last_hidden_state for part in inputs]
    real = torch.ones(3, 17, dtype=torch.bool) if mask is None or mask.ndim > 2 else mask.bool()
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours[real].numpy(), theirs[real].numpy(), quantity="hidden", name=form)
    assert model.encoder.packed.recorded == (
        0 if form in ("holes", "only empty texts", "pairs") or "axis" in form else 1
    )


def test_sizes_near_to_each_other_share_a_graph_and_the_oldest_leaves():
    model = optimize(make("v3_like", max_position_embeddings=200), graphs=2)
    graphs = model.encoder.packed
    with torch.no_grad():
        for length in (64, 64, 63, 62, 65, 65, 100, 100):
            model(ids(2, length))
            assert graphs.recorded <= 2
    assert graphs.recorded == 2
    (kept,) = graphs._packed.graphs.values()
    assert [key[0].longest for key in kept._graphs] == [72, 104]
    compare(model, ids(2, 64))


def test_types_positions_and_half_precision():
    model = make("v2_absolute_types")
    types = torch.tensor(np.random.default_rng(0).integers(0, model.config.type_vocab_size, (3, 17)))
    positions = torch.arange(17).flip(0)[None]
    for _ in range(3):
        compare(model, ids(), attention_mask=MASKS["right"](), token_type_ids=types, position_ids=positions)
    mask = MASKS["right"]().bool()
    with torch.no_grad():
        expected = restore(model)(ids(), mask).last_hidden_state[mask]
        for dtype, quantity in [("bfloat16", "optimized bfloat16"), (torch.float16, "half")]:
            actual = optimize(model, dtype)(ids(), mask).last_hidden_state
            assert actual.dtype == torch.float32
            assert_close(actual[mask].numpy(), expected.numpy(), quantity=quantity, name=str(dtype))
    with pytest.raises(
        InputError, match=r"dtype is 'int8', but on CUDA must be one of 'float32', 'bfloat16', 'float16'"
    ):
        optimize(model, "int8")
    assert model.encoder.packed is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()}),
        lambda model: torch.nn.init.normal_(model.encoder.layer[1].output.dense.weight),
        lambda model: torch.nn.init.normal_(model.embeddings.word_embeddings.weight),
        lambda model: setattr(model.encoder.layer[0].intermediate.dense, "bias", torch.nn.Parameter(torch.ones(48))),
        lambda model: model.double().float(),
    ],
    ids=["load_state_dict", "in place", "embeddings", "another parameter", "dtype and back"],
)
def test_changed_weights_are_read_anew(change):
    model = optimize(make("v3_like"))
    with torch.no_grad():
        for _ in range(3):
            model(ids())
        change(model)
        actual = model(ids()).last_hidden_state
        expected = restore(model)(ids()).last_hidden_state
    assert_close(actual.numpy(), expected.numpy(), quantity="hidden", name="after the change")


def test_threads_share_the_graphs():
    model = make("v3_like", max_position_embeddings=64)
    batches = [(ids(2, length), mask_of((0, length), (0, length // 2), length=length)) for length in (9, 21, 40)]
    with torch.no_grad():
        expected = [model(*batch).last_hidden_state for batch in batches]
        optimize(model, graphs=2)
    wrong = []

    def work(thread):
        for call in range(12):
            number = (thread + call) % 3
            with torch.no_grad():
                found = model(*batches[number]).last_hidden_state
            real = batches[number][1].bool()
            wrong.append(relative_error(found[real].numpy(), expected[number][real].numpy()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 48
    assert max(wrong) <= TOLERANCES["hidden"].limit


def test_gradients_modes_copies_and_task_models():
    model = optimize(make("v3_like", "ForSequenceClassification"))
    with pytest.raises(RuntimeError, match="An optimised encoder has no gradients"):
        model(ids()).logits.sum().backward()
    model.train()(ids()).logits.sum().backward()
    model.eval()
    with torch.inference_mode():
        inside = [model(ids()).logits for _ in range(3)]
    with torch.no_grad():
        outside = model(ids()).logits
        for one in inside:
            assert_close(one.numpy(), outside.numpy(), quantity="logits", name="inside and outside")
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert isinstance(again.deberta.encoder.packed, DeviceEncoder)
            assert_close(again(ids()).logits.numpy(), outside.numpy(), quantity="logits", name="a copy")


@pytest.mark.parametrize("case", ["v1_enhanced", "v2_enhanced_conv"])
def test_the_enhanced_decoder_reads_the_layer_before_the_last(case):
    model = make(case, "ForMaskedLM")
    mask = MASKS["right"]()
    with torch.no_grad():
        expected = model(ids(), mask).logits[mask.bool()]
        optimize(model)
        for _ in range(3):
            actual = model(ids(), mask).logits[mask.bool()]
            assert_close(actual.numpy(), expected.numpy(), quantity="logits", name=case)


def test_it_is_traced_as_it_is():
    model = optimize(make("v3_like"))
    with torch.no_grad():
        expected = restore(copy.deepcopy(model))(ids()).last_hidden_state
        found = torch.compile(model, backend="eager")(ids()).last_hidden_state
    assert_close(found.numpy(), expected.numpy(), quantity="hidden", name="compiled")


def test_a_model_that_was_moved_does_it_itself():
    model = optimize(make("v3_like")).to("meta")
    assert model(torch.ones(2, 5, dtype=torch.long, device="meta")).last_hidden_state.device.type == "meta"
    assert deberta_torch.restore(model).encoder.packed is None
