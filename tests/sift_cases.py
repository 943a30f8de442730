"""Small models of every task with a batch, for SiFT and other regularisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from deberta_core import DebertaV2Config

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 24,
    "embedding_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "position_buckets": 8,
    "relative_attention": True,
    "pos_att_type": ("c2p", "p2c"),
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
}
# Name -> task, and what its configuration says of the labels.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("sequence_classification", {"num_labels": 3}),
    "labels": ("sequence_classification", {"num_labels": 3, "problem_type": "multi_label_classification"}),
    "numbers": ("sequence_classification", {"num_labels": 1}),
    "tokens": ("token_classification", {"num_labels": 4}),
    "masked LM": ("masked_lm", {}),
    "answers": ("question_answering", {}),
    "choices": ("multiple_choice", {}),
}


def make_case(name: str) -> tuple[DebertaV2Config, str, dict[str, np.ndarray], np.ndarray]:
    """The configuration, the task, a padded batch with labels, and a first perturbation."""
    task, changes = CASES[name]
    config = DebertaV2Config(**{**SIZES, **changes})
    random = np.random.default_rng(0)
    shape = (4, 2, 9) if task == "multiple_choice" else (4, 9)
    ids = random.integers(1, config.vocab_size, shape)
    mask = np.ones(shape, np.int64)
    mask[1, ..., 6:] = 0
    mask[3, ..., :2] = 0
    few = np.where((random.random(shape) < 0.4) & (mask == 1), random.integers(0, 4, shape), -100)
    few[0, ..., 2] = 1
    labels: dict[str, np.ndarray] = {
        "classes": {"labels": np.array([2, 0, 1, 1])},
        "labels": {"labels": random.integers(0, 2, (4, 3)).astype(np.float32)},
        "numbers": {"labels": random.standard_normal((4, 1)).astype(np.float32)},
        "tokens": {"labels": few},
        "masked LM": {"labels": few},
        "answers": {"start_positions": np.array([3, 1, 0, 4]), "end_positions": np.array([5, 2, 0, 99])},
        "choices": {"labels": np.array([0, 1, 1, 0])},
    }[name]
    rows = int(np.prod(shape[:-1]))
    perturbation = np.clip(random.normal(0.0, 0.01, (rows, shape[-1], config.hidden_size)), -0.02, 0.02)
    return config, task, {"input_ids": ids, "attention_mask": mask, **labels}, perturbation.astype(np.float32)


def distillation_gradient(kind: str, student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    """What the distillation, times the temperature squared, adds to the gradient of each logit; all `[B, N]`.

    Hinton et al. (2015), equation 2; of independent labels likewise, of numbers that of the mean square.
    """
    share = np.float64(temperature) / student.shape[0]
    if kind == "numbers":
        return 2 * (student - teacher) / student.size
    student, teacher = np.float64(student) / temperature, np.float64(teacher) / temperature
    if kind == "labels":
        return share / student.shape[1] * (1 / (1 + np.exp(-student)) - 1 / (1 + np.exp(-teacher)))
    powers, others = (np.exp(one) for one in (student, teacher))
    return share * (powers / powers.sum(-1, keepdims=True) - others / others.sum(-1, keepdims=True))
