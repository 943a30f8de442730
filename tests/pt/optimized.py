"""Small models to optimise, inputs with every form of mask, and the comparison with the plain forward pass."""

import numpy as np
import torch

import deberta_torch
from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close
from deberta_torch import optimize, restore

# Every version, terms of each kind, the convolution, no positions at all, embeddings of another width.
NAMES = [name for name in CASES if "talking" not in name]


def make(case: str, kind: str = "Model", **changes):
    config = CASES[case].config.replace(**changes)
    version = {"deberta": "Deberta", "deberta-v2": "DebertaV2"}[config.model_type]
    model = getattr(deberta_torch, f"{version}{kind}")(config).eval()
    values = random_params(config, model.task, np.random.default_rng(5))
    model.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)
    return model


def ids(batch: int = 3, length: int = 17) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(batch * length).integers(1, 97, (batch, length)))


def mask_of(*spans: tuple[int, int], length: int = 17) -> torch.Tensor:
    mask = torch.zeros(len(spans), length, dtype=torch.long)
    for row, (start, stop) in enumerate(spans):
        mask[row, start:stop] = 1
    return mask


def holes() -> torch.Tensor:
    mask = mask_of((0, 17), (2, 12), (5, 17))
    mask[0, 3:6] = mask[1, 5] = 0
    return mask


def pairs() -> torch.Tensor:
    allowed = torch.tensor(np.random.default_rng(1).random((3, 17, 17)) < 0.7)
    allowed[1, 4] = False  # a query that sees no key
    return allowed


MASKS = {
    "none": lambda: None,
    "ones": lambda: mask_of((0, 17), (0, 17), (0, 17)),
    "right": lambda: mask_of((0, 17), (0, 9), (0, 2)),
    "left": lambda: mask_of((0, 17), (8, 17), (16, 17)),
    "holes": holes,
    "an empty text": lambda: mask_of((0, 17), (0, 0), (0, 5)),
    "only empty texts": lambda: mask_of((0, 0), (0, 0), (0, 0)),
    "pairs": pairs,
    "pairs with an axis of heads": lambda: pairs()[:, None],
}


def compare(model, *inputs, **keywords) -> None:
    """The optimised model against the plain one at real tokens, all hidden states."""
    mask = keywords.get("attention_mask")
    with torch.no_grad():
        expected = restore(model)(*inputs, output_hidden_states=True, **keywords)
        actual = optimize(model)(*inputs, output_hidden_states=True, **keywords)
    assert len(actual.hidden_states) == len(expected.hidden_states)
    shape = expected.hidden_states[0].shape[:2]
    real = torch.ones(shape, dtype=torch.bool) if mask is None or mask.ndim > 2 else mask.bool()
    for number, (ours, theirs) in enumerate(zip(actual.hidden_states, expected.hidden_states, strict=True)):
        assert_close(ours[real].numpy(), theirs[real].numpy(), quantity="hidden", name=f"hidden state {number}")
