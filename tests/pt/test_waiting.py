"""Nothing in a forward pass, a loss or a step of the optimizer asks a device for a number: that would wait for it."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import deberta_torch
from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from conformance.suite.interpreted import leave_out_kernels
from deberta_core import InputError
from deberta_core.inputs import check_inputs
from deberta_core.tasks import task_spec
from deberta_torch.checks import assert_values
from deberta_torch.encoder import Convolution, convolve_by_products
from deberta_torch.kernels import attention_functions

LABELS = {
    "SequenceClassification": (3,),
    "TokenClassification": (3, 7),
    "MaskedLM": (3, 7),  # on the CPU: those on a device are asked how many they are
    "ReplacedTokenDetection": (3, 7),
}


def make(task, implementation="sdpa", case="v3_like"):
    """A model on torch's meta device, whose tensors have no numbers: to ask for one is an error."""
    with torch.device("meta"):
        model = getattr(deberta_torch, f"DebertaV2For{task}")(CASES[case].config.replace(num_labels=2))
    model.set_attn_implementation(implementation)
    return model


def ones(*shape, device="meta"):
    return torch.ones(shape, dtype=torch.long, device=device)


def test_the_device_notices():
    for ask in (torch.Tensor.item, torch.Tensor.nonzero, bool, lambda values: values[values > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask(ones(1))


@pytest.mark.parametrize("place", ["meta", "cpu"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager", "triton"])
@pytest.mark.parametrize("task", LABELS)
def test_a_training_step(task, implementation, place, monkeypatch):
    if implementation == "triton":  # as if it could run there; the kernels do nothing, and what is around them all
        monkeypatch.setattr(attention_functions, "why_not", lambda *_: None)
        leave_out_kernels(monkeypatch)
    model = make(task, implementation).train()
    optimizer = torch.optim.AdamW(model.parameters())
    labels = ones(*LABELS[task], device="cpu" if task == "MaskedLM" else "meta")
    padding = "ignore" if labels.device.type == "meta" or place == "cpu" else "error"
    loss = model(ones(3, 7), ones(3, 7, device=place), labels=labels, labels_at_padding=padding).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert loss.device.type == "meta"
    assert model.attn_implementation_used == (implementation, None)


@pytest.mark.parametrize("case", ["v2_conv", "v2_conv_groups", "v2_enhanced", "v2_absolute_types"])
def test_a_forward_pass(case):
    model = make("MaskedLM", case=case).eval()
    with torch.no_grad():
        assert model(ones(3, 7), ones(3, 7)).logits.device.type == "meta"
        assert model(ones(3, 7), ones(3, 7, 7)).logits.device.type == "meta"
        assert model(ones(3, 7), ones(3, 7, device="cpu")).logits.device.type == "meta"


@pytest.mark.parametrize("case", ["v2_conv", "v2_conv_groups"])
def test_the_convolution_by_products_is_the_convolution(case):
    convolution = Convolution(CASES[case].config)
    hidden = torch.randn(3, 11, CASES[case].config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = convolution.conv(hidden.transpose(1, 2)).transpose(1, 2)
        found = convolve_by_products(convolution.conv, hidden)
    assert_close(found.numpy(), expected.numpy(), quantity="hidden", name="convolution")


class Asserted(TorchDispatchMode):
    """Notes what devices are asked to assert."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function is torch.ops.aten._assert_async.msg:
            self.messages.append((arguments[0].device.type, arguments[1]))
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("task", ["SequenceClassification", "MaskedLM"])
def test_devices_assert_values_on_request_and_are_not_waited_for(task):
    config = CASES["v2_absolute_types"].config
    with torch.device("meta"):
        model = getattr(deberta_torch, f"DebertaV2For{task}")(config).eval()
    inputs = {name: ones(3, 7) for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids")}
    with torch.no_grad(), Asserted() as unasked:
        model(**inputs)
    assert unasked.messages == []
    with torch.no_grad(), Asserted() as asked:
        with deberta_torch.asserting_on_devices():
            model(**inputs)
            model(inputs_embeds=torch.ones(3, 7, config.embedding_width, device="meta"))
        model(**inputs)  # no longer
    assert asked.messages == [
        ("meta", f"input_ids must be in [0, {config.vocab_size}), the range of vocab_size."),
        ("meta", "attention_mask must hold 1 and 0 only."),
        ("meta", f"token_type_ids must be in [0, {config.type_vocab_size}), the range of type_vocab_size."),
        (
            "meta",
            f"position_ids must be in [0, {config.max_position_embeddings}), the range of max_position_embeddings.",
        ),
    ]


WRONG = [
    ("input_ids", 97),
    ("input_ids", -1),
    ("token_type_ids", 3),
    ("position_ids", 1000),
    ("attention_mask", 2),
    ("attention_mask", 0.5),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_devices_refuse_is_what_the_cpu_refuses(name, value):
    """On the CPU an assertion is looked at at once."""
    config, spec = CASES["v2_absolute_types"].config, task_spec(None)
    inputs = {key: torch.ones(2, 5, dtype=torch.long) for key in ("input_ids", "attention_mask", "token_type_ids")}
    inputs["position_ids"] = torch.arange(5)[None]
    if name == "attention_mask":
        inputs[name] = inputs[name].float()
    assert_values(config, spec, inputs)
    inputs[name][0, 2] = value
    with pytest.raises(RuntimeError, match=f"{name} must"):
        assert_values(config, spec, inputs)
    with pytest.raises(InputError, match=name):
        check_inputs(config, {key: np.asarray(one) for key, one in inputs.items()}, spec)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint64])
def test_small_and_unsigned_integers_are_asserted_as_numbers(dtype):
    """torch compares uint8 with 1000 as with 232, and uint64 with nothing."""
    config = CASES["v3_like"].config.replace(vocab_size=1000)
    assert_values(config, task_spec(None), {"input_ids": torch.tensor([[1, 120]], dtype=dtype)})


def test_devices_assert_nothing_of_inputs_that_are_not_read():
    config = CASES["v3_like"].config  # no token types, no absolute positions
    beyond = torch.full((2, 5), 10**6)
    inputs = {"input_ids": torch.ones(2, 5, dtype=torch.long), "token_type_ids": beyond, "position_ids": beyond}
    assert_values(config, task_spec(None), inputs)
