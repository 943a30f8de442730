"""Models with the Triton kernels, in Triton's interpreter: what served, compiled, exported, checkpointed."""

from unittest import mock

import pytest
import torch

from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from conformance.suite.interpreted import interpreted
from deberta_torch import DebertaV2Model, optimize
from deberta_torch.inference import device_attention
from deberta_torch.kernels.triton import residual_norm
from tests.pt.on_device import on_device  # noqa: F401
from tests.pt.optimized import MASKS, ids, make

CONFIG = CASES["v3_like"].config.replace(num_hidden_layers=2, num_attention_heads=2)
IDS = torch.arange(14).reshape(1, 14) + 5


def model_of(**changes):
    torch.manual_seed(0)
    model = DebertaV2Model(CONFIG.replace(**changes)).eval()
    model.set_attn_implementation("triton")
    return model


def test_a_model_says_what_computed_attention():
    model = model_of()
    assert model.attn_implementation_used is None
    with torch.no_grad():
        model(IDS)
    assert model.attn_implementation_used == ("sdpa", "the kernels run on CUDA, not on cpu")
    model(IDS)
    assert model.attn_implementation_used == ("sdpa", "the kernels run on CUDA, not on cpu")
    with interpreted():
        model(IDS)
        assert model.attn_implementation_used == ("triton", None)
        model(IDS, output_attentions=True)
        assert model.attn_implementation_used == ("eager", "probabilities are returned, or mixed over the heads")
        with torch.no_grad():
            model.double()(IDS)
        assert model.attn_implementation_used == ("sdpa", "the kernels compute no torch.float64 on cpu")
    model.float().set_attn_implementation("eager")
    model(IDS)
    assert model.attn_implementation_used == ("eager", None)


def test_atomic_sums_are_asked_for_and_give_way_to_determinism():
    model = model_of()
    model.set_attn_implementation("triton-atomic")
    with interpreted():
        model(IDS).last_hidden_state.square().sum().backward()
        assert model.attn_implementation_used == ("triton-atomic", None)
        torch.use_deterministic_algorithms(True)
        try:
            model(IDS)
        finally:
            torch.use_deterministic_algorithms(False)
        expected = ("triton", "torch.use_deterministic_algorithms(True) is in force")
        assert model.attn_implementation_used == expected


@pytest.mark.parametrize(("case", "form"), [("v3_like", "left"), ("v1_like", "right"), ("v2_conv", "none")])
def test_an_optimised_model_is_computed_by_the_kernels(case, form, on_device, monkeypatch):  # noqa: F811
    """At first, recorded and replayed; attention, and each LayerNorm of a sum."""
    model, mask, inputs = make(case), MASKS[form](), [ids(), ids(), ids().flip(1)]
    with torch.no_grad(), interpreted():
        expected = [model(part, mask).last_hidden_state for part in inputs]
        attend = mock.Mock(wraps=device_attention.disentangled_attention)
        normalize = mock.Mock(wraps=residual_norm.normalize_sum)
        monkeypatch.setattr(device_attention, "disentangled_attention", attend)
        monkeypatch.setattr(residual_norm, "normalize_sum", normalize)
        optimize(model)
        found = [model(part, mask).last_hidden_state for part in inputs]
    assert 2 * attend.call_count == normalize.call_count > 0
    real = torch.ones(3, 17, dtype=torch.bool) if mask is None else mask.bool()
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours[real].numpy(), theirs[real].numpy(), quantity="hidden", name=case)
    assert model.encoder.packed.recorded == 1


def test_a_model_trains_alike_with_checkpoints_and_under_autocast():
    model = model_of(attention_probs_dropout_prob=0.2).train()

    def gradients():
        torch.manual_seed(3)
        model.zero_grad()
        model(IDS).last_hidden_state.square().sum().backward()
        assert model.attn_implementation_used == ("triton", None)
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    with interpreted():
        expected = gradients()
        model.gradient_checkpointing_enable()
        for one, other in zip(gradients(), expected, strict=True):
            assert torch.equal(one, other)
        with torch.autocast("cpu", torch.float16):
            assert all(torch.isfinite(one).all() for one in gradients())


def test_a_model_inside_torch_func_computes_without_the_kernels():
    model = model_of()
    with interpreted(), torch.no_grad():
        parameters = dict(model.named_parameters())

        def hidden(ids):
            return torch.func.functional_call(model, parameters, (ids[None],), {"return_dict": False})[0][0]

        found = torch.func.vmap(hidden)(IDS.reshape(2, 7))
        assert "torch.func" in model.attn_implementation_used.reason
        expected = model(IDS.reshape(2, 7)).last_hidden_state
        assert_close(found.numpy(), expected.numpy(), quantity="fused hidden", name="mapped")


def test_a_compiled_model_is_one_graph():
    model = model_of()
    mask = (torch.arange(14) < 11).long()[None]
    with interpreted():
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        for own in (torch.ones_like(mask), mask):
            expected = model(IDS, own, return_dict=False)[0]
            found = compiled(IDS, own, return_dict=False)[0]
            real = own != 0  # at once, steps are fused and padding is left out; in a graph they are not
            found, expected = (one[real].detach().numpy() for one in (found, expected))
            assert_close(found, expected, quantity="fused hidden", name="compiled")
        with torch.no_grad():
            exported = torch.export.export(model, (IDS,), dynamic_shapes=({1: torch.export.Dim("L", min=2, max=512)},))
        assert "deberta.disentangled_attention" in str(exported.graph)
        longer = torch.cat([IDS, IDS], 1)
        found, expected = (one(longer).last_hidden_state.detach().numpy() for one in (exported.module(), model))
        assert_close(found, expected, quantity="hidden", name="exported")
