"""A layer in few steps, in Triton's interpreter: the numbers and gradients of its modules, and when these serve."""

from unittest import mock

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from conformance.suite.compare import relative_error
from conformance.suite.interpreted import interpreted, leave_out_kernels
from conformance.tolerances import TOLERANCES
from deberta_torch import encoder
from deberta_torch.kernels import dropout, triton
from deberta_torch.kernels.attention_functions import AttentionUsed
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.linear import Linear
from deberta_torch.kernels.triton import residual_norm
from tests.pt.optimized import ids, make


def step(model, mask=None, dtype=None, dtype_back=None):
    """Hidden states at tokens, and all gradients, of one training step."""
    model.zero_grad()
    torch.manual_seed(2)
    with interpreted(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        hidden = model(ids(2, 9), mask).last_hidden_state
    assert model.attn_implementation_used.implementation == "triton"
    with torch.autocast("cpu", dtype_back, enabled=dtype_back is not None):
        (hidden * torch.linspace(-1, 1, hidden.shape[-1])).square().sum().backward()
    return hidden.detach(), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def by_modules(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "is_plain", lambda *_: False)
        return step(*arguments)


def triton_model(case, **changes):
    model = make(case, num_hidden_layers=1, num_attention_heads=2, **changes).train()
    model.set_attn_implementation("triton")
    return model


# Where keys meet no relative rows these add the same to all scores of a query: their gradients are 0 but for rounding.
CANCELLED = ("attention.self.key_proj.bias", "encoder.LayerNorm.bias")


def compare(found, expected, bound):
    assert relative_error(found[0].numpy(), expected[0].numpy()) <= bound
    assert found[1].keys() == expected[1].keys()
    largest = max(float(one.abs().max()) for one in expected[1].values())
    for name, one in found[1].items():
        other = expected[1][name]
        assert one.dtype == other.dtype
        scale = max(float(other.abs().max()), 1e-3 * largest)
        if name.endswith(CANCELLED) and float(other.abs().max()) < 1e-4 * largest:
            scale = 1e-2 * largest  # of the sums whose rounding is left
        assert relative_error(one.numpy(), other.numpy(), scale) <= bound, name


OFF = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.mark.parametrize(
    ("case", "dtype"),
    [("v3_like", torch.float16), ("v1_like", None)]
    + [
        pytest.param(case, dtype, marks=pytest.mark.slow)
        for case in ("v1_c2p", "v2_unshared", "v2_c2p", "v2_p2c", "v2_no_terms", "v2_no_relative")
        for dtype in (None, torch.float16)
    ],
)
def test_it_is_what_the_modules_compute(case, dtype, monkeypatch):
    model, quantity = triton_model(case, **OFF), "gradient" if dtype is None else "gpu float16"
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    compare(step(model, mask, dtype), by_modules(monkeypatch, model, mask, dtype), TOLERANCES[quantity].limit)


def test_dropout_drops_in_the_same_places(monkeypatch):
    """In the table, in attention, and in both blocks, whose places are read from what the kernel made of them."""
    monkeypatch.setattr(Dropout, "forward", lambda self, values: torch.native_dropout(values, self.p, self.training)[0])
    for module in (triton.layer, triton.attention):
        monkeypatch.setattr(module, "draw_seed", lambda device: torch.tensor([77]))
    real, kept = residual_norm.normalize_sum, []

    def normalize_sum(product, residual, *arguments, **keywords):
        normed = real(product, residual, *arguments, **keywords)
        kept.append((normed.total != residual).float())
        return normed

    monkeypatch.setattr(residual_norm, "normalize_sum", normalize_sum)
    model = triton_model("v3_like", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    found, layer = step(model), model.encoder.layer[0]
    assert all(0.5 < float(one.mean()) < 0.9 for one in kept)
    for block, places in zip((layer.attention.output, layer.output), kept, strict=True):
        block.dropout.forward = lambda values, places=places: values * places / 0.7
    compare(found, by_modules(monkeypatch, model), TOLERANCES["gradient"].limit)
    assert relative_error(found[0].numpy(), step(model.eval())[0].numpy()) > 0.01


def test_only_what_is_trained_gets_gradients(monkeypatch):
    model = triton_model("v3_like", **OFF)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layer.0." in name and "key_proj" not in name and "LayerNorm.bias" not in name)
    found = step(model)
    assert found[1]
    compare(found, by_modules(monkeypatch, model), TOLERANCES["gradient"].limit)


def test_autocast_in_the_backward_pass_alone(monkeypatch):
    """As where a loop's autocast begins between both: products are of the types of the forward pass, or of autocast."""
    model, arguments = triton_model("v3_like", **OFF), (None, None, torch.float16)
    bound = TOLERANCES["gpu float16"].limit
    compare(step(model, *arguments), by_modules(monkeypatch, model, *arguments), bound)


def test_float64_under_autocast_stays_so():
    """Autocast leaves it alone, so the kernels, which have no float64, cannot serve."""
    model = triton_model("v3_like", **OFF).double()
    with interpreted(), torch.autocast("cpu", torch.float16):
        hidden = model(ids(2, 9)).last_hidden_state
    assert hidden.dtype == torch.float64
    assert model.attn_implementation_used == ("sdpa", "the kernels compute no torch.float64 on cpu")
    assert torch.equal(hidden, model(ids(2, 9)).last_hidden_state)


def give_a_bias(layer):
    layer.attention.self.in_proj.bias = nn.Parameter(torch.full((layer.attention.self.in_proj.out_features,), 0.5))


CHANGES = {
    "dense": ("v3_like", lambda layer: setattr(layer.output.dense, "bias", None)),
    "norm": ("v3_like", lambda layer: setattr(layer.output.LayerNorm, "bias", None)),
    "one of three": ("v3_like", lambda layer: setattr(layer.attention.self.key_proj, "bias", None)),
    "one more": ("v1_like", give_a_bias),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_biases_are_served(change, monkeypatch):
    """Those taken away, and one where DeBERTa has none, which steps computed at once would leave out."""
    case, make_it = CHANGES[change]
    model = triton_model(case, **OFF)
    make_it(model.encoder.layer[0])
    found = step(model)
    compare(found, by_modules(monkeypatch, model), TOLERANCES["gradient"].limit)
    if change == "one more":
        assert found[1]["encoder.layer.0.attention.self.in_proj.bias"].any()


def test_hooks_of_all_modules_see_those_of_a_layer():
    model, seen = triton_model("v3_like", **OFF), set()
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.add(module))
    try:
        step(model)
    finally:
        handle.remove()
    assert model.encoder.layer[0].output.dense in seen


class Marked(torch.Tensor):
    """A tensor of another type."""


def test_tensors_of_other_types_stay_so():
    model = triton_model("v3_like", **OFF)
    embeds = torch.ones(2, 9, model.config.embedding_width).as_subclass(Marked)
    served = mock.Mock(wraps=encoder.kernel_layer)
    with interpreted(), mock.patch.object(encoder, "kernel_layer", served):
        assert type(model(inputs_embeds=embeds).last_hidden_state) is Marked
        served.assert_not_called()
        model(inputs_embeds=embeds.as_subclass(torch.Tensor))
    served.assert_called_once()


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "triton"])
def test_dropout_is_a_modules_own_mode(implementation):
    """As users have it who switch dropout alone on, or off."""
    model = triton_model("v3_like", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.3).eval()
    model.set_attn_implementation(implementation)
    drop = model.encoder.layer[0].attention.self.dropout
    with interpreted(), torch.no_grad():
        first, again = (model(ids(2, 9)).last_hidden_state for _ in range(2))
        assert torch.equal(first, again)
        drop.train()
        assert not torch.equal(model(ids(2, 9)).last_hidden_state, first)
        model.train()
        drop.eval()
        found = model(ids(2, 9)).last_hidden_state
    assert relative_error(found.numpy(), first.numpy()) <= TOLERANCES["gradient"].limit


USES = {
    "twice in a graph": lambda model: loss_of(model, 9) + loss_of(model, 5),
    "accumulated": lambda model: (loss_of(model, 9).backward(), loss_of(model, 5))[1],
    "one layer twice": lambda model: (model.encoder.layer.append(model.encoder.layer[0]), loss_of(model, 9))[1],
    "functional": lambda model: loss_of(
        lambda *given: torch.func.functional_call(
            model, {name: 1.0 * one for name, one in model.named_parameters()}, given
        ),
        9,
    ),
    "offloaded": lambda model: offloaded(model),
}


def loss_of(model, length):
    hidden = model(ids(2, length)).last_hidden_state
    return (hidden * torch.linspace(-1, 1, hidden.shape[-1])).square().sum()


def offloaded(model):
    with torch.autograd.graph.save_on_cpu():
        return loss_of(model, 9)


@pytest.mark.parametrize("use", USES)
def test_other_uses_of_a_model(use, monkeypatch):
    found = []
    for by_steps in (True, False):
        model = triton_model("v3_like", **OFF)
        with interpreted(), monkeypatch.context() as patch:
            if not by_steps:
                patch.setattr(encoder, "is_plain", lambda *_: False)
            loss = USES[use](model)
            loss.backward()
        grads = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
        found.append((loss.detach(), grads))
    compare(*found, TOLERANCES["gradient"].limit)


class Doubled(Linear):
    def forward(self, values):
        return 2 * super().forward(values)


def test_other_modules_and_hooks_are_served():
    model = triton_model("v3_like", **OFF)
    plain = step(model)[0]
    layer, seen = model.encoder.layer[0], []
    assert encoder.is_plain(layer, encoder.PLAIN)
    handle = layer.output.dense.register_forward_hook(lambda *_: seen.append("forward"))
    step(model)
    handle.remove()
    handle = layer.attention.self.register_full_backward_hook(lambda *_: seen.append("backward"))
    step(model)
    handle.remove()
    assert seen == ["forward", "backward"]
    layer.register_forward_hook(lambda *_: seen.append("layer"))  # of the whole: not in its way
    assert torch.equal(step(model)[0], plain)
    assert seen[2:] == ["layer"]
    layer.output.dense.forward = lambda values: nn.functional.linear(values, 2 * layer.output.dense.weight)
    assert not torch.equal(step(model)[0], plain)
    del layer.output.dense.forward
    assert torch.equal(step(model)[0], plain)
    layer.intermediate.dense.__class__ = Doubled
    assert not encoder.is_plain(layer, encoder.PLAIN)
    assert not torch.equal(step(model)[0], plain)


def test_gradients_of_gradients_are_refused():
    model = triton_model("v3_like", **OFF)
    with interpreted():
        loss = model(ids(1, 5)).last_hidden_state.square().sum()
    with pytest.raises(RuntimeError, match="no gradients of gradients"):
        torch.autograd.grad(loss, model.encoder.layer[0].output.dense.weight, create_graph=True)


class Counted(TorchDispatchMode):
    """Counts calls of torch's operators, but for views and empty tensors."""

    FREE = ("view", "transpose", "unsqueeze", "slice", "select", "t", "unbind", "detach", "split_with_sizes", "empty",
            "empty_like", "new_empty", "_unsafe_view", "expand", "permute", "split")  # fmt: skip

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.calls += function._schema.name.removeprefix("aten::") not in self.FREE
        return function(*arguments, **(keywords or {}))


def test_a_layer_takes_few_calls(monkeypatch):
    """Each takes longer than a kernel of a GPU does. By modules they are 46 and 71."""
    leave_out_kernels(monkeypatch)
    monkeypatch.setattr(dropout, "is_eager", lambda *values: False)  # torch's own dropout, as on a GPU
    counts = []
    for layers in (1, 2):
        model = make("v3_like", num_hidden_layers=layers, hidden_dropout_prob=0.1).train()
        model.set_attn_implementation("triton")
        with interpreted(), torch.autocast("cpu", torch.float16), Counted() as counted:
            loss = model(ids(2, 9)).last_hidden_state.sum()
            forward_calls = counted.calls
            loss.backward()
        counts.append((forward_calls, counted.calls - forward_calls))
    ahead, back = (after - before for before, after in zip(*counts, strict=True))
    assert ahead <= 25
    assert back <= 40


@pytest.fixture
def alone():
    """A group of one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_gradients_in_several_processes(kind, alone, monkeypatch):
    """As torch gathers, shards and forgets parameters around the layer's steps; here between one process and itself."""
    expected = step(triton_model("v3_like", **OFF))
    model, served = triton_model("v3_like", **OFF), mock.Mock(wraps=encoder.kernel_layer)
    monkeypatch.setattr(encoder, "kernel_layer", served)
    if kind == "sharded":
        for layer in model.encoder.layer:
            fully_shard(layer, mesh=init_device_mesh("cpu", (1,)))
        assert not encoder.is_plain(model.encoder.layer[0], encoder.PLAIN)  # while each has a shard
        hidden, grads = step(model)
        grads = {name: one.full_tensor() if hasattr(one, "full_tensor") else one for name, one in grads.items()}
    else:
        model = DistributedDataParallel(model, find_unused_parameters=True)
        model.attn_implementation_used = AttentionUsed("triton")
        hidden, grads = step(model)
        grads = {name.removeprefix("module."): one for name, one in grads.items()}
    served.assert_called_once()
    compare((hidden, grads), expected, TOLERANCES["gradient"].limit)
