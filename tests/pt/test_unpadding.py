"""How many rows an optimised encoder computes for the tokens of a batch."""

import pytest
import torch

from conformance.suite.compare import assert_close
from deberta_torch import optimize
from deberta_torch.inference import unpadding
from deberta_torch.inference.layer import PackedLayer
from tests.pt.optimized import ids, make, mask_of


def test_few_numbers_of_rows_are_computed():
    computed = {tokens: unpadding.Packing(None, (), tokens).rows for tokens in range(1, 4097)}
    assert len(set(computed.values())) == 32 + 7 * 16  # all up to 32, then 16 up to each power of two
    assert all(tokens <= rows <= tokens * 17 / 16 for tokens, rows in computed.items())


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_rows_that_fill_up_change_no_number(dtype, monkeypatch):
    model = optimize(make("v2_conv"), dtype=dtype)
    seen = []
    run = PackedLayer.__call__
    monkeypatch.setattr(
        PackedLayer, "__call__", lambda self, rows, packing: seen.append(len(rows)) or run(self, rows, packing)
    )
    results = {}
    for bits in (unpadding.ROW_BITS, 64):
        monkeypatch.setattr(unpadding, "ROW_BITS", bits)
        with torch.no_grad():
            results[bits] = [
                model(ids(), attention_mask=mask).last_hidden_state
                for mask in (None, mask_of((0, 17), (3, 17), (0, 6)))
            ]
    for filled, exact in zip(*results.values(), strict=True):
        assert_close(filled.numpy(), exact.numpy(), quantity="hidden", name="rows")
    assert set(seen) == {52, 38, 51, 37}  # 51 tokens, 37 of them real
