"""Attention of short texts by few operators, beside the one that any length takes."""

import itertools

import pytest
import torch

from conformance.suite.compare import assert_close
from deberta_torch.kernels.attention_blocks import attend
from deberta_torch.kernels.short_attention import attend_fused
from deberta_torch.kernels.skew import PositionRows

HEADS, SIZE = 3, 8
QUANTITY = {torch.float32: "hidden", torch.bfloat16: "optimized bfloat16"}


def masks(batch, length):
    keys = torch.rand(batch, 1, 1, length) < 0.6
    keys[..., 0] = True
    pairs = torch.rand(batch, 1, length, length) < 0.5
    pairs[..., 0] = True
    return {"all": None, "keys": keys, "pairs": pairs}


@pytest.mark.parametrize("dtype", QUANTITY)
@pytest.mark.parametrize("terms", list(itertools.product((True, False), repeat=2)))
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 5), (2, 40)])
def test_it_is_what_any_length_takes(batch, length, terms, dtype):
    torch.manual_seed(0)
    width = HEADS * SIZE
    content = torch.randn(batch * length + 1, 3 * width + 4).to(dtype)[1:, :-4]  # rows lie apart, and begin anywhere
    key, query = (torch.randn(HEADS, 2 * length, SIZE).to(dtype) if has else None for has in terms)
    given = [part for part in (key, query) if part is not None]
    columns = torch.cat(given).transpose(1, 2) if given else None
    parts = content.reshape(batch, length, 3, HEADS, SIZE).permute(2, 0, 3, 1, 4).float()
    rows = PositionRows(*(None if part is None else part.float() for part in (key, query)), 100) if given else None
    for name, visible in masks(batch, length).items():
        expected = attend(*parts, visible, rows).transpose(1, 2).reshape(-1, width)
        found = attend_fused(content, HEADS, length, visible, columns, terms)
        assert_close(found.float().numpy(), expected.numpy(), quantity=QUANTITY[dtype], name=name)
