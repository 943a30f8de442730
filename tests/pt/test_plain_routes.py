"""Where oneDNN is missing, and on devices with few types of numbers, plain operators do the same work."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import deberta_torch
from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_torch.kernels import linear, onednn

NAMES = ("v1_like", "v3_like", "v2_conv")
LENGTH = 70  # the attention of long texts


class Recorder(TorchDispatchMode):
    """The operators that ran, and the types of the tensors that each was given and gave."""

    def __init__(self):
        super().__init__()
        self.types: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [part for part in torch.utils._pytree.tree_leaves((args, result)) if isinstance(part, Tensor)]
        self.types.setdefault(str(function), set()).update(part.dtype for part in tensors)
        return result


def make(name: str, device: str = "cpu"):
    config = CASES[name].config.replace(max_position_embeddings=LENGTH, hidden_dropout_prob=0.1)
    kind = deberta_torch.DebertaForMaskedLM if name.startswith("v1") else deberta_torch.DebertaV2ForMaskedLM
    torch.manual_seed(0)
    model = kind(config).eval().to(device)
    ids = torch.randint(3, config.vocab_size, (2, LENGTH))
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, LENGTH // 2 :] = 0
    return model, ids.to(device), mask.to(device)


def answers(model, ids, mask):
    """By every way that computes float32 on the CPU, and the name of each."""
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            yield implementation, model(ids, mask).logits
        yield f"{implementation}, recorded", model(ids, mask).logits.detach()
    with torch.no_grad():
        yield "optimize", deberta_torch.optimize(model)(ids, mask).logits
    deberta_torch.restore(model)


@pytest.mark.parametrize("name", NAMES)
def test_without_onednn(name, monkeypatch):
    monkeypatch.setattr(linear, "_SMALLEST", 0)
    monkeypatch.setattr(onednn, "beats_mkl", lambda: True)
    model, ids, mask = make(name)
    real = mask.bool()
    expected = dict(answers(model, ids, mask))
    with torch.backends.mkldnn.flags(enabled=False), Recorder() as recorder:
        found = dict(answers(model, ids, mask))
        with pytest.raises(InputError, match="needs oneDNN's 8-bit products"):
            deberta_torch.optimize(model, "int8")
    assert not [operator for operator in recorder.types if operator.startswith(("mkldnn", "onednn"))]
    for way, logits in found.items():
        assert_close(logits[real].numpy(), expected[way][real].numpy(), quantity="logits", name=way)
    with Recorder() as recorder, torch.no_grad():
        model(ids, mask)
    assert onednn.available() == any(operator.startswith("mkldnn") for operator in recorder.types)


PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "dot", "conv")


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
def test_no_float64_and_no_integer_products_on_a_device(name, implementation, training):
    """Metal has neither."""
    model, ids, mask = make(name, "meta")
    model.set_attn_implementation(implementation)
    model.train(training)
    with Recorder() as recorder, torch.set_grad_enabled(training):
        logits = model(ids, mask).logits
        if training:
            logits.sum().backward()
    assert not [operator for operator, types in recorder.types.items() if torch.float64 in types]
    products = {name: types for name, types in recorder.types.items() if name.split(".")[1].strip("_") in PRODUCTS}
    assert products
    assert all(types == {torch.float32} for types in products.values())
