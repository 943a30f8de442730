"""The optimised encoder: the same numbers as the model it is made of, and what a user may do with that model."""

import copy
import io
import threading
import warnings

import numpy as np
import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES
from conformance.suite.compare import OPTIMIZED_QUANTITIES, assert_close
from deberta_core.errors import DebertaWarning, InputError
from deberta_torch import optimize, restore
from deberta_torch.inference import linears, positions
from deberta_torch.inference.encoder import PackedEncoder
from deberta_torch.kernels import attention_blocks, onednn
from tests.pt.optimized import MASKS, NAMES, compare, ids, make


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration(name):
    compare(make(name), ids(), attention_mask=MASKS["holes"]())


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv"])
def test_every_form_of_mask(name, form):
    compare(make(name), ids(), attention_mask=MASKS[form]())


@pytest.mark.parametrize("length", [1, 2, 16, 64, 65, 130])
@pytest.mark.parametrize("name", ["v1_like", "v3_like"])
def test_short_and_long_texts(name, length):
    compare(make(name, max_position_embeddings=130), ids(2, length))


@pytest.mark.parametrize("name", ["v1_like", "v1_c2p", "v3_like", "v2_p2c", "v1_no_relative"])
@pytest.mark.parametrize("form", ["none", "right", "pairs"])
def test_blocks_of_queries_and_keys_far_away(name, form, monkeypatch):
    """Texts longer than a block, and than the distance at which the rows of positions end."""
    monkeypatch.setitem(attention_blocks.BLOCK_SIZES, "cpu", attention_blocks.BlockSizes(0, 3, 2, heads=1))
    monkeypatch.setattr(positions, "KEPT_LENGTH", 4)
    reach = {"max_relative_positions": 5, "position_buckets": 4} if name.startswith("v2") or name == "v3_like" else {}
    changes = reach or ({"max_relative_positions": 5} if name != "v1_no_relative" else {})
    compare(make(name, **changes), ids(), attention_mask=MASKS[form]())


def test_lengths_that_grow_and_shrink_share_the_rows():
    model = make("v3_like", max_position_embeddings=200)
    for length in (3, 70, 5, 140, 70):
        compare(model, ids(2, length))


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"])
def test_task_models_on_real_text(kind, small_tokenizer, prose):
    config = CASES["v3_like"].config.replace(vocab_size=len(small_tokenizer), max_position_embeddings=256)
    torch.manual_seed(0)
    model = getattr(deberta_torch, f"DebertaV2{kind}")(config).eval()
    batch = small_tokenizer(prose, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch)
        actual = optimize(model)(**batch)
    real = batch["attention_mask"].bool()
    for name, theirs in expected.items():
        ours = actual[name]
        if theirs.shape[:2] == real.shape:
            ours, theirs = ours[real], theirs[real]
        assert_close(ours.numpy(), theirs.numpy(), quantity="logits", name=name, scale=max(1.0, theirs.abs().max()))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv"])
def test_fewer_bits(name, dtype):
    model = make(name)
    mask = MASKS["right"]()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DebertaWarning)
        expected = model(ids(), mask).last_hidden_state[mask.bool()]
        actual = optimize(model, dtype=dtype)(ids(), mask).last_hidden_state[mask.bool()]
    assert actual.dtype == torch.float32
    assert not torch.equal(actual, expected)
    assert_close(actual.numpy(), expected.numpy(), quantity=OPTIMIZED_QUANTITIES[dtype], name=dtype)


def test_plain_torch_does_it_where_onednn_does_not_serve(monkeypatch):
    monkeypatch.setattr(onednn, "available", lambda dtype=torch.float32: False)
    monkeypatch.setattr(onednn, "linear", None)
    for name in ("v1_like", "v3_like"):
        compare(make(name), ids(), attention_mask=MASKS["right"]())
    with pytest.raises(InputError, match="dtype='int8' needs oneDNN's 8-bit products"):
        optimize(make("v3_like"), dtype="int8")


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "tanh"])
@pytest.mark.parametrize("cpu", [{"avx512_f": True}, {"avx2": True}])
def test_activations_fused_and_not(activation, cpu, monkeypatch):
    monkeypatch.setattr(onednn, "capabilities", lambda: cpu)
    compare(make("v3_like", hidden_act=activation), ids())


def test_a_gelu_is_fused_where_that_is_quick(monkeypatch):
    monkeypatch.setattr(onednn, "capabilities", lambda: {"avx2": True})
    assert not onednn.fuses("gelu", torch.float32)
    assert onednn.fuses("gelu", torch.int8)
    assert onednn.fuses("relu", torch.float32)
    monkeypatch.setattr(onednn, "capabilities", lambda: {"avx512_f": True})
    assert onednn.fuses("gelu", torch.float32)
    assert not onednn.fuses("silu", torch.float32)


def test_the_state_dict_is_unharmed_and_restore_frees():
    model = make("v3_like", "ForSequenceClassification")
    before = copy.deepcopy(model.state_dict())
    names = [name for name, _ in model.named_modules()]
    with torch.no_grad():
        optimize(model)(ids())
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, _ in model.named_modules()] == names
    assert model.deberta.encoder.packed is not None
    assert restore(model) is model
    assert model.deberta.encoder.packed is None
    restore(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()}),
        lambda model: torch.nn.init.normal_(model.encoder.layer[1].output.dense.weight),
        lambda model: torch.nn.init.normal_(model.encoder.rel_embeddings.weight),
        lambda model: setattr(model.encoder.layer[0].intermediate.dense, "bias", torch.nn.Parameter(torch.ones(48))),
        lambda model: model.prune_heads({0: [1]}),
        lambda model: model.double().float(),
    ],
    ids=["load_state_dict", "in place", "relative table", "another parameter", "pruning", "dtype and back"],
)
def test_changed_weights_are_packed_anew(change):
    model = optimize(make("v3_like"))
    with torch.no_grad():
        model(ids())
        change(model)
    compare(model, ids())


def test_training_goes_on_as_if_nothing_were():
    plain, optimized = make("v3_like", "ForSequenceClassification"), make("v3_like", "ForSequenceClassification")
    optimize(optimized)
    losses = []
    for model in (plain, optimized):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model.train()
            torch.manual_seed(3)
            loss = model(ids(), labels=torch.tensor([0, 1, 0])).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(model.eval()(ids(), labels=torch.tensor([0, 1, 0])).loss)
    assert_close(losses[1].numpy(), losses[0].numpy(), quantity="loss", name="loss after two steps")


def test_gradients_are_refused_not_forgotten():
    model = optimize(make("v3_like", "ForSequenceClassification"))
    loss = model(ids(), labels=torch.tensor([0, 1, 0])).loss
    with pytest.raises(RuntimeError, match="optimised encoder has no gradients in evaluation mode"):
        loss.backward()
    model.deberta.requires_grad_(False)
    model(ids(), labels=torch.tensor([0, 1, 0])).loss.backward()
    assert model.classifier.weight.grad is not None


def test_attentions_come_from_the_usual_forward_pass():
    model = make("v3_like")
    with torch.no_grad():
        expected = model(ids(), output_attentions=True)
        actual = optimize(model)(ids(), output_attentions=True)
    assert all(torch.equal(a, b) for a, b in zip(actual.attentions, expected.attentions, strict=True))


def test_copies_and_pickles_pack_their_own_weights():
    model = optimize(make("v3_like"))
    with torch.no_grad():
        expected = model(ids()).last_hidden_state
        copied = copy.deepcopy(model)
        torch.nn.init.normal_(model.encoder.layer[0].output.dense.weight)
        assert torch.equal(copied(ids()).last_hidden_state, expected)
        assert copied.encoder.packed._encoder is copied.encoder
        file = io.BytesIO()
        torch.save(copied, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(ids()).last_hidden_state, expected)


def test_threads_share_a_model():
    model = make("v3_like", max_position_embeddings=128)
    batches = [ids(2, length) for length in (3, 90, 17, 40, 5, 70)]
    with torch.no_grad():
        expected = [model(batch).last_hidden_state for batch in batches]
    optimize(model)
    found: dict[int, torch.Tensor] = {}

    def run(number: int) -> None:
        with torch.inference_mode():
            for _ in range(5):
                found[number] = model(batches[number]).last_hidden_state

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, value in enumerate(expected):
        assert_close(found[number].numpy(), value.numpy(), quantity="hidden", name=f"thread {number}")


def test_autocast_changes_nothing():
    model = optimize(make("v3_like"))
    with torch.no_grad():
        expected = model(ids()).last_hidden_state
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = model(inputs_embeds=None, input_ids=ids()).last_hidden_state
    assert_close(actual.float().numpy(), expected.numpy(), quantity="hidden", name="under autocast")


def test_models_in_half_precision_keep_their_dtype():
    model = make("v3_like").bfloat16()
    with torch.no_grad():
        plain = model(ids()).last_hidden_state
        actual = optimize(model)(ids()).last_hidden_state
    assert actual.dtype == torch.bfloat16
    assert_close(actual.float().numpy(), plain.float().numpy(), quantity="optimized bfloat16", name="bfloat16 weights")


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize(
    "name",
    [
        *("embeddings.LayerNorm.bias", "encoder.rel_embeddings.weight", "encoder.layer.1.output.LayerNorm.weight"),
        *(f"encoder.layer.0.{part}" for part in ("attention.self.value_proj.weight", "attention.output.dense.bias")),
        *(f"encoder.layer.0.{part}" for part in ("intermediate.dense.weight", "output.dense.weight")),
    ],
)
@pytest.mark.parametrize("in_one_call", [True, False])
def test_nan_is_named_not_hidden(name, number, in_one_call, monkeypatch):
    if not in_one_call:
        monkeypatch.setattr(onednn, "quantizes_in_one_call", lambda: False)
    model = optimize(make("v3_like"), dtype="int8")
    with torch.no_grad():
        model.get_parameter(name).fill_(float(number))
        with pytest.raises(FloatingPointError, match="NaN or infinite"):
            model(ids())


def test_what_is_refused():
    with pytest.raises(InputError, match="dtype is 'float16', but must be one of 'float32', 'bfloat16', 'int8'"):
        optimize(make("v3_like"), dtype="float16")
    with pytest.raises(InputError, match="a Linear holds no DeBERTa encoder"):
        optimize(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="talking heads"):
        optimize(make("v1_talking_head"))


def test_bfloat16_without_its_instructions_warns(monkeypatch):
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: False)
    with pytest.warns(DebertaWarning, match="no bfloat16 instructions"):
        optimize(make("v3_like"), dtype="bfloat16")


def test_quantizing_uses_all_levels_and_no_more():
    for values in ([-1.0, 0.0, 3.0], [0.5, 2.0], [-4.0, -1.0], [0.0, 0.0], [1e-30, 0.0]):
        for levels, known in ((255, True), (127, False)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(onednn, "has_int8_dot_products", lambda known=known: known)
                quantized, scale, zero = onednn.quantize(torch.tensor(values))
            assert int(quantized.max()) <= levels
            back = (quantized.float() - zero) * scale
            assert float((back - torch.tensor(values)).abs().max()) <= scale


def test_the_packed_encoder_is_no_module():
    """Or it would be in the state dict and among the modules."""
    assert not issubclass(PackedEncoder, torch.nn.Module)
    assert linears.precision_of(torch.float32) == linears.precision_of("float32")


@pytest.mark.parametrize("activation", [None, "gelu"])
def test_eight_bit_products_are_exact(activation):
    """The operator against the same integers multiplied by NumPy."""
    random = np.random.default_rng(2)
    values, weight, bias = (
        torch.tensor(random.normal(size=shape), dtype=torch.float32) for shape in ((9, 40), (24, 40), (24,))
    )
    layer = onednn.QuantizedLinear(weight, bias, activation=activation)
    quantized, scale, zero = onednn.quantize(values)
    rows = np.abs(weight.numpy()).max(axis=1, keepdims=True) / 127
    products = (quantized.numpy().astype(np.int64) - zero) @ np.round(weight.numpy() / rows).astype(np.int64).T
    expected = torch.tensor(products * scale * rows.T + bias.numpy())
    plus = expected + expected
    assert_close(layer.plus(values, expected.float()).numpy(), plus.numpy(), quantity="hidden", name="with residual")
    if activation:
        expected = torch.nn.functional.gelu(expected)
    assert_close(layer(values).numpy(), expected.numpy(), quantity="hidden", name="the product")


def test_modules_and_hooks_that_would_be_left_out_are_named():
    """An adapter in the place of a linear layer, put there before or after the weights were packed."""

    class Adapter(torch.nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.weight, self.bias = base.weight, base.bias

        def forward(self, values):
            return 2 * self.base(values)

    model = optimize(make("v3_like"))
    with torch.no_grad():
        model(ids())
        attention = model.encoder.layer[0].attention.self
        attention.query_proj = Adapter(attention.query_proj)
        with pytest.raises(InputError, match=r"query_proj is a \S+\.Adapter, which optimize\(\) does"):
            model(ids())
        restore(model)(ids())
        other = make("v3_like")
        other.encoder.layer[1].register_forward_hook(lambda *arguments: None)
        with pytest.raises(InputError, match=r"encoder.layer.1 has a forward hook"):
            optimize(other)(ids())


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_batch_of_padding_alone_is_zeros(dtype):
    with torch.no_grad():
        output = optimize(make("v2_conv"), dtype)(ids(), MASKS["only empty texts"](), output_hidden_states=True)
    assert len(output.hidden_states) == 4
    assert not output.last_hidden_state.any()


def test_plain_linear_layers_are_packed_too():
    """What tools leave behind that merge adapters."""
    model = make("v3_like")
    dense = model.encoder.layer[1].output.dense
    plain = torch.nn.Linear(dense.in_features, dense.out_features)
    plain.load_state_dict(dense.state_dict())
    model.encoder.layer[1].output.dense = plain
    model.encoder.layer[1].output.dropout = torch.nn.Dropout(0.1).eval()
    compare(model, ids())
