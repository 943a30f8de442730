"""The Triton kernels by themselves, in Triton's interpreter; whole models are in `conformance/suite/test_triton.py`."""

import itertools

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from conformance.suite.binomial import assert_binomial
from conformance.suite.compare import assert_close
from conformance.suite.interpreted import interpreted
from deberta_core import InputError
from deberta_torch.kernels.triton import backward, forward
from deberta_torch.kernels.triton.attention import disentangled_attention
from deberta_torch.kernels.triton.blocks import Block, Blocks
from deberta_torch.kernels.triton.rows import rows_by_distance

SMALL = Blocks(*(Block(16, 1, 1) for _ in Blocks._fields))
SCALE = 0.2


def tensors(batch=2, length=20, heads=1, width=16, reach=7, dtype=torch.float32, terms="cp"):
    """Query, key, value (views of one product), content and position rows."""
    generator = torch.Generator().manual_seed(0)

    def make(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    tokens = (part.requires_grad_() for part in make(batch, length, 3, heads, width).unbind(2))
    rows = (make(2 * reach + 1, heads, width).requires_grad_() if term in terms else None for term in "cp")
    return [*tokens, *rows]


def formula(query, key, value, content, position, mask=None, weigh=lambda probabilities: probabilities):
    """NUMERICS 3 in float64, pair by pair."""
    length = query.shape[1]
    query, key, value = (part.double().transpose(1, 2) for part in (query, key, value))
    scores = query @ key.mT
    rows = content if content is not None else position
    if rows is not None:
        reach, at = len(rows) // 2, torch.arange(length)
        distance = (at - at[:, None]).clamp(-reach, reach) + reach
        if content is not None:
            scores = scores + torch.einsum("bhid,ijhd->bhij", query, content.double()[distance])
        if position is not None:
            scores = scores + torch.einsum("bhjd,ijhd->bhij", key, position.double()[distance])
    scores = scores * SCALE
    if mask is not None:
        scores = scores.masked_fill(~(mask[:, None, None] if mask.ndim == 2 else mask[:, None]), -torch.inf)
    return (weigh(scores.softmax(-1).nan_to_num(0)) @ value).transpose(1, 2)


def gradients(out, inputs, seed=1):
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.autograd.grad(out, [one for one in inputs if one is not None], grad.to(out.dtype))


def check(found, expected, quantity="gradient"):
    assert_close(found.detach().float().numpy(), expected.detach().numpy(), quantity=quantity, name="values")


def mask_of(kind, batch, length):
    generator = torch.Generator().manual_seed(2)
    if kind == "keys":
        return torch.rand((batch, length), generator=generator) < 0.6
    if kind == "pairs":
        mask = torch.rand((batch, length, length), generator=generator) < 0.3
        mask[0, 3] = False  # a query that sees no key
        return mask
    return None


SIZES = [
    ({"length": 37, "reach": 36}, None),
    ({"length": 37, "reach": 4}, "keys"),
    ({"length": 20, "reach": 9, "width": 20, "heads": 2}, "pairs"),
    pytest.param({"length": 100, "reach": 21, "heads": 2}, "keys", marks=pytest.mark.slow),
    pytest.param({"length": 100, "reach": 40}, "pairs", marks=pytest.mark.slow),
    pytest.param({"length": 50, "reach": 17, "width": 128, "terms": "c"}, None, marks=pytest.mark.slow),
    pytest.param({"length": 50, "reach": 60, "width": 24, "terms": "p"}, "keys", marks=pytest.mark.slow),
    pytest.param({"length": 33, "terms": ""}, "pairs", marks=pytest.mark.slow),
    pytest.param({"length": 1, "reach": 1}, None, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("sizes", "kind"), SIZES)
def test_values_and_gradients(sizes, kind):
    given = tensors(batch=1 if kind is None else 2, **sizes)
    mask = mask_of(kind, *given[0].shape[:2])
    found = disentangled_attention(*given, mask=mask, scale=SCALE, blocks=SMALL)
    expected = formula(*given, mask)
    check(found, expected, "hidden")
    for one, other in zip(gradients(found, given), gradients(expected, given), strict=True):
        check(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_packed_texts_are_padded_ones_bit_for_bit(dtype):
    lengths, dropout, seed = [20, 1, 17], 0.3, torch.tensor([5])
    given = tensors(batch=3, reach=4, dtype=dtype)
    kept = torch.cat([torch.arange(length) + 20 * text for text, length in enumerate(lengths)])
    mask = torch.arange(20) < torch.tensor(lengths)[:, None]
    shared = {"scale": SCALE, "dropout": dropout, "seed": seed, "blocks": SMALL}
    padded = disentangled_attention(*given, mask=mask, **shared).flatten(0, 1)[kept]
    tokens = [part.detach().flatten(0, 1)[kept].requires_grad_() for part in given[:3]]
    starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
    packed = disentangled_attention(*tokens, *given[3:], starts=starts, longest=24, **shared)
    assert torch.equal(packed, padded)
    of_packed, of_padded = gradients(packed, [*tokens, *given[3:]]), gradients(padded, given)
    for one, other in zip(of_packed, of_padded, strict=True):
        assert torch.equal(one, other if other.ndim == 3 and len(other) == 9 else other.flatten(0, 1)[kept])


def test_gradients_of_scores_come_in_parts(monkeypatch):
    """Heads, then texts one by one, where memory is short: the same numbers, for each part is summed alone."""
    given = tensors(heads=2, reach=4)
    whole = gradients(disentangled_attention(*given, scale=SCALE, blocks=SMALL), given)
    monkeypatch.setattr(backward, "SCRATCH", 1)
    parts = gradients(disentangled_attention(*given, scale=SCALE, blocks=SMALL), given)
    for one, other in zip(parts, whole, strict=True):
        check(one, other.double())


@pytest.mark.parametrize("reach", [4, 19])
def test_atomic_sums_are_the_ordered_ones_but_for_rounding(reach):
    given = tensors(batch=3, heads=2, reach=reach)
    outs = [disentangled_attention(*given, scale=SCALE, blocks=SMALL, ordered=ordered) for ordered in (True, False)]
    expected, found = (gradients(out, given) for out in outs)
    assert torch.equal(*outs)
    for one, other in zip(found[:3], expected[:3], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(found[3:], expected[3:], strict=True):
        check(one, other.double())


def test_nan_in_hidden_keys_does_not_spread():
    given = tensors(reach=4)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[:, 15:] = mask[:, 0] = False
    expected = disentangled_attention(*given, mask=mask, scale=SCALE)
    kept = gradients(expected, given)
    for kind in (mask, mask[:, None].expand(2, 20, 20)):
        with torch.no_grad():
            for part in given[1:3]:
                part[~mask] = torch.nan
        found = disentangled_attention(*given, mask=kind, scale=SCALE)
        assert torch.equal(found, expected)
        for one, other in zip(gradients(found, given), kept, strict=True):
            assert torch.equal(one, other)


def test_dropout_keeps_the_expectation_and_its_law():
    length = 64
    query, key = (torch.zeros(2, length, 2, 64) for _ in range(2))
    value = torch.eye(length)[None, :, None].expand(2, length, 2, length).contiguous()  # the context is the weights
    draw = {"scale": SCALE, "dropout": 0.25}
    weights = disentangled_attention(query, key, value, seed=torch.tensor([7]), **draw)
    kept = weights > 0
    assert_close(
        weights[kept].numpy(),
        torch.full((int(kept.sum()),), 1 / length / 0.75).numpy(),
        quantity="hidden",
        name="weights",
    )
    assert_binomial(int(kept.sum()), kept.numel(), 0.75)
    for axis in (0, 1, 2, 3):  # of each two that lie together, both are kept as often as they are by chance
        one, other = kept.unfold(axis, 2, 1).unbind(-1)
        assert_binomial(int((one & other).sum()), one.numel(), 0.75**2)
    again = disentangled_attention(query, key, value, seed=torch.tensor([7]), **draw)
    other = disentangled_attention(query, key, value, seed=torch.tensor([8]), **draw) > 0
    assert torch.equal(again, weights)
    assert_binomial(int((kept & other).sum()), kept.numel(), 0.75**2)


def test_dropout_is_the_same_in_the_backward_pass():
    """Places depend on the seed, head, query and key alone: uniform weights show them, and the formula gets them."""
    given, dropout = tensors(reach=4, width=32), {"dropout": 0.4, "seed": torch.tensor([11]), "scale": SCALE}
    shown = torch.eye(20, 32)[None, :, None].expand_as(given[0])
    kept = disentangled_attention(*(torch.zeros_like(shown) for _ in range(2)), shown, **dropout)[..., :20] > 0
    kept = kept.transpose(1, 2)  # [B, H, L, L]
    found = disentangled_attention(*given, **dropout, blocks=SMALL)
    expected = formula(*given, weigh=lambda probabilities: probabilities * kept / 0.6)
    check(found, expected, "hidden")
    for one, other in zip(gradients(found, given), gradients(expected, given), strict=True):
        check(one, other)


def test_dropout_follows_torchs_generator_and_checkpoints():
    query, *others = tensors()

    def attend(query):
        return disentangled_attention(query, *others, scale=SCALE, dropout=0.3)

    torch.manual_seed(1)
    out = attend(query)
    (expected,) = gradients(out, [query])
    torch.manual_seed(1)
    found = checkpoint(attend, query, use_reentrant=False)
    assert torch.equal(found, out)
    assert torch.equal(gradients(found, [query])[0], expected)
    assert not torch.equal(attend(query), out)


def test_compiled_and_exported():
    given = tensors()

    class Attention(torch.nn.Module):
        def forward(self, *given):
            return disentangled_attention(*given, scale=SCALE)

    expected = Attention()(*given)
    compiled = torch.compile(Attention(), fullgraph=True, backend="aot_eager")(*given)
    assert torch.equal(compiled, expected)
    for one, other in zip(gradients(compiled, given), gradients(expected, given), strict=True):
        assert torch.equal(one, other)
    exported = torch.export.export(Attention(), tuple(given))
    assert "deberta.disentangled_attention" in str(exported.graph)
    assert torch.equal(exported.module()(*given), expected)


def test_what_is_refused():
    query, key, value, content, position = tensors()
    with pytest.raises(
        InputError, match=r"key is \[1, 20, 1, 16\].*content_rows is torch\.float16.*rows are 15, position_rows 14"
    ):
        disentangled_attention(query, key[:1], value, content.half(), position[1:], scale=SCALE)
    starts = torch.tensor([0, 20])
    with pytest.raises(InputError, match=r"starts and longest go together\..*mask is \[3\], not one of \[\[20\]\]"):
        disentangled_attention(query[0], key[0], value[0], starts=starts, mask=torch.ones(3), scale=SCALE)
    with pytest.raises(InputError, match="value is on meta, and query on cpu: move them to one device"):
        disentangled_attention(query, key, value.to("meta"), scale=SCALE)
    with pytest.raises(InputError, match="head size is 256; the kernels hold up to 128"):
        disentangled_attention(*(torch.ones(1, 1, 1, 256) for _ in range(3)), scale=SCALE)
    out = disentangled_attention(query, key, value, scale=SCALE)
    (grad,) = torch.autograd.grad(out.sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="no gradients of gradients"):
        grad.sum().backward()
    with pytest.raises(RuntimeError, match=r"know no torch\.func\.vmap"):
        torch.func.vmap(lambda one: disentangled_attention(one, key, value, scale=SCALE))(query[None])


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0)])
def test_nothing_to_attend_to(batch, length):
    given = tensors(batch=batch, length=length)
    out = disentangled_attention(*given, scale=SCALE)
    assert out.shape == (batch, length, 1, 16)
    for grad, one in zip(gradients(out, given), given, strict=True):
        assert grad.shape == one.shape
        assert not grad.any()


def test_numbers_beyond_two_to_the_31_are_reached():
    """The third text lies farther away than 32 bits count; the memory between is never touched."""
    given, far = tensors(batch=3, length=18, reach=4, dtype=torch.float16), 2**30 + 16
    places = [torch.empty_strided(given[0].shape, (far, 16, 16, 1), dtype=torch.float16) for _ in range(3)]
    for place, one in zip(places, given[:3], strict=True):
        place.copy_(one.detach())
    moved = [*(place.requires_grad_() for place in places), *given[3:]]
    found, expected = (disentangled_attention(*own, scale=SCALE, blocks=SMALL) for own in (moved, given))
    assert torch.equal(found, expected)
    for one, other in zip(gradients(found, moved), gradients(expected, given), strict=True):
        assert torch.equal(one, other)


def test_texts_without_tokens_and_numbers_that_are_not_adjacent():
    given = tensors(batch=2, reach=4)
    tokens = [part.detach().flatten(0, 1) for part in given[:3]]
    shared = {"scale": SCALE, "longest": 20, "blocks": SMALL}
    starts = torch.tensor([0, 0, 20, 20, 40, 40], dtype=torch.int32)
    expected = disentangled_attention(*tokens, *given[3:], starts=starts[[0, 2, 4]], **shared)
    assert torch.equal(disentangled_attention(*tokens, *given[3:], starts=starts, **shared), expected)
    turned = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in tokens]  # the last axis has steps
    assert turned[0].stride(-1) == 1
    stepped = [torch.stack([part, part], dim=-1)[..., 0] for part in tokens]
    assert stepped[0].stride(-1) == 2
    for other in (turned, stepped):
        assert torch.equal(disentangled_attention(*other, *given[3:], starts=starts, **shared), expected)


def test_out_of_memory_says_what_needs_less(monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(forward, "forward", fail)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        disentangled_attention(*tensors(), scale=SCALE)
    (note,) = caught.value.__notes__
    assert "smaller batches, a smaller max_length, bfloat16" in note
    assert "gradient_checkpointing_enable()" in note


def test_rows_by_distance_with_and_without_gradients():
    projected = torch.randn(4, 2, 3, requires_grad=True)
    index = torch.tensor([3, 3, 1, 0, 0, 0])
    found = rows_by_distance(projected, index)
    with torch.no_grad():
        assert torch.equal(rows_by_distance(projected, index), found)
    (grad,) = torch.autograd.grad(found.sum(), projected)
    assert grad[:, 0, 0].tolist() == [3, 1, 0, 2]


def test_interpreting_is_asked_for(monkeypatch):
    from deberta_torch.kernels.triton import availability

    cpu = torch.device("cpu")
    assert "run on CUDA, not on cpu" in availability.why_not(cpu, torch.float32, 64)
    with interpreted():
        assert availability.why_not(cpu, torch.float32, 64) is None
        assert "no torch.bfloat16" in availability.why_not(cpu, torch.bfloat16, 64)
    cuda = torch.device("cuda")
    assert availability.why_not(cuda, torch.bfloat16, 64) is None
    assert "no torch.float64 on cuda" in availability.why_not(cuda, torch.float64, 64)
    assert "up to 128 numbers, not 256" in availability.why_not(cuda, torch.float16, 256)
    assert availability.why_no_triton("3.1.0") == "Triton 3.1.0 is older than 3.3"
    assert availability.why_no_triton(None) == "Triton is not installed"
    monkeypatch.setattr(availability, "_WHY_NO_TRITON", "no")
    assert availability.why_not(cuda, torch.float16, 64) == "no"
