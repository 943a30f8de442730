"""What is true on a CUDA device alone: the goldens there, CUDA graphs, threads with streams. Skipped elsewhere."""

import threading

import numpy as np
import pytest
import torch

from conformance.suite.adapters import TorchAdapter, flatten_outputs
from conformance.suite.compare import assert_close, at_real_positions, output_kind, output_scale, relative_error
from conformance.suite.golden import goldens
from conformance.tolerances import TOLERANCES
from deberta_torch import optimize
from tests.pt.optimized import ids, make, mask_of

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

BOUNDS = {
    "float32": TOLERANCES["gpu float32"],
    "float16": TOLERANCES["gpu float16"],
    "bfloat16": TOLERANCES["gpu bfloat16"],
}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("implementation", ["sdpa", "triton", "optimize"])
@pytest.mark.parametrize("golden", list(goldens()))
def test_goldens(golden, implementation, dtype):
    if golden.is_float64 or golden.config.mixes_heads:
        pytest.skip("of the reference, or of talking heads")
    model = TorchAdapter(golden.config, golden.task, golden.params()).model.eval()
    if implementation == "optimize":
        optimize(model.cuda(), dtype)
    else:
        model.to("cuda", getattr(torch, dtype)).set_attn_implementation(implementation)
    inputs = {name: torch.from_numpy(np.array(value)).cuda() for name, value in golden.tensors("input").items()}
    with torch.no_grad():
        for _ in range(3):  # the second call is recorded, the third replayed
            actual = flatten_outputs(model(**inputs), lambda values: values.float().cpu().numpy())
    expected, mask = golden.tensors("output"), golden.mask()
    for name in expected.keys() & actual.keys() - {"loss"}:
        own, judge = (at_real_positions(name, side[name], mask) for side in (actual, expected))
        scale = output_scale(output_kind(name), expected[name])
        assert relative_error(own, judge, scale) <= BOUNDS[dtype].limit, name


@pytest.mark.parametrize("implementation", ["sdpa", "triton"])
@pytest.mark.parametrize("golden", list(goldens(with_gradients=True)))
def test_gradients(golden, implementation):
    if golden.is_float64 or (golden.task == "question_answering" and not golden.mask().all()):
        pytest.skip("of the reference, or decision 10")
    model = TorchAdapter(golden.config, golden.task, golden.params()).model.eval().cuda()
    model.set_attn_implementation(implementation)
    model(
        **{name: torch.from_numpy(np.array(value)).cuda() for name, value in golden.tensors("input").items()}
    ).loss.backward()
    expected = golden.tensors("grad")
    largest = max(float(np.abs(values).max()) for values in expected.values())
    for name, parameter in model.named_parameters():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = max(float(np.abs(expected[name]).max()), 1e-3 * largest)
        assert_close(grad.cpu().numpy(), expected[name], quantity="gpu gradient", name=name, scale=scale)


def test_threads_with_streams_share_the_graphs():
    model = make("v3_like", max_position_embeddings=64)
    batches = [(ids(2, length), mask_of((0, length), (0, length // 2), length=length)) for length in (9, 21, 40)]
    with torch.no_grad():
        expected = [model(*batch).last_hidden_state for batch in batches]
    optimize(model.cuda(), graphs=2)
    found = []

    def work(thread):
        with torch.cuda.stream(torch.cuda.Stream()), torch.no_grad():
            for call in range(30):
                number = (thread + call) % 3
                tokens, mask = batches[number]
                found.append((number, model(tokens.cuda(), mask).last_hidden_state.cpu()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 240
    for number, states in found:
        real = batches[number][1].bool()
        assert_close(states[real].numpy(), expected[number][real].numpy(), quantity="gpu float32", name="hidden")


def test_a_call_waits_for_nothing():
    model, mask = optimize(make("v3_like").cuda()), mask_of((0, 17), (0, 9), (0, 2))
    tokens = ids().cuda()
    with torch.no_grad():
        for _ in range(3):
            model(tokens, mask)
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(tokens, mask)
        finally:
            torch.cuda.set_sync_debug_mode("default")
