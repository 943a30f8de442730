"""Makes the golden folders of `conformance/golden` with the transformers library, the oracle this project replaces.

It runs in an environment of its own, because transformers' TensorFlow classes need Keras 2 while this project needs
Keras 3, and it imports nothing of this project, so that nothing of it can leak into the expected numbers:

    python -m venv oracle
    oracle/bin/python -m pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    oracle/bin/python -m pip install transformers==4.57.1 tensorflow-cpu==2.21.0 tf-keras==2.21.0
    oracle/bin/python -m pip install numpy==2.4.6 safetensors==0.8.0 h5py==3.14.0
    oracle/bin/python tools/make_golden.py

It prints the table of hashes for `conformance/golden/README.md`. Weights, token ids and labels are drawn by NumPy from
the case's seed, so they are the same on every machine; computed numbers differ in the last bits from one processor or
version to the next.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Before transformers and TensorFlow are imported.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"

TRANSFORMERS = "4.57.1"
GOLDEN = Path(__file__).parents[1] / "conformance" / "golden"
BATCH = 3

# Small, but with everything v3 has; 8 buckets, 4 of them exact, so that texts reach the logarithmic ones.
_V3_STYLE: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "max_relative_positions": -1,
    "position_buckets": 8,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pooler_dropout": 0.0,
    "pooler_hidden_act": "gelu",
}
_CONVOLUTION: dict[str, Any] = {"conv_kernel_size": 3, "conv_act": "gelu", "conv_groups": 1}


@dataclass(frozen=True, slots=True)
class Case:
    """One golden folder.

    Attributes:
        name: the folder.
        seed: of weights, token ids and labels.
        head: what the class is called after `DebertaV2`.
        changes: what the configuration changes in the v3 style.
        length: L, in tokens.
        pad: the side of the padding. transformers pools index 0, padding or not: task models pad on the right.
        tf: whether transformers' TensorFlow class computes the same model.
        h5: whether a tf_model.h5 written by that class is kept.
        gradients: whether gradients of every parameter are kept.
    """

    name: str
    seed: int
    head: str = "Model"
    changes: dict[str, Any] = field(default_factory=dict)
    length: int = 13
    pad: str = "right"
    tf: bool = True
    h5: bool = False
    gradients: bool = False


_SEQUENCE = "ForSequenceClassification"
CASES: tuple[Case, ...] = (
    Case("v3-style", 1, pad="left", h5=True),
    Case("conv", 2, changes=_CONVOLUTION, length=21),
    # The TensorFlow class names these projections differently and leaves them random.
    Case("unshared-c2p", 3, changes={"share_att_key": False, "pos_att_type": ["c2p"]}, tf=False),
    # Distances beyond the table of 5 are clipped; hidden_size is not a power of 2.
    Case(
        "no-buckets",
        4,
        changes={
            "position_buckets": -1,
            "max_relative_positions": 5,
            "norm_rel_ebd": "none",
            "hidden_size": 18,
            "num_attention_heads": 3,
        },
        pad="left",
        tf=False,
    ),
    Case("seq-single", 5, _SEQUENCE, {**_CONVOLUTION, "num_labels": 3}, gradients=True),
    Case("seq-regression", 6, _SEQUENCE, {"num_labels": 1, "problem_type": "regression"}, h5=True),
    Case("seq-multilabel", 7, _SEQUENCE, {"num_labels": 4, "problem_type": "multi_label_classification"}),
)


def make(case: Case, folder: Path) -> None:
    """Writes one golden folder; files that are there are replaced.

    Args:
        case: the row.
        folder: where to; made if need be.
    """
    import torch
    import transformers
    from safetensors.numpy import save_file

    # One thread, so that sums have one order.
    torch.set_num_threads(1)
    config = transformers.DebertaV2Config(**_V3_STYLE | case.changes)
    model = getattr(transformers, f"DebertaV2{case.head}")(config).eval()
    draw_parameters(model, case.seed)
    inputs = draw_inputs(case, config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    expected = {f"input.{name}": value for name, value in inputs.items()} | run_torch(case, model, inputs)
    if case.tf:
        expected |= run_tensorflow(case, model, folder, inputs)
    arrays = {name: np.ascontiguousarray(expected[name]) for name in sorted(expected)}
    save_file(arrays, folder / "expected.safetensors")
    description = {
        "name": case.name,
        "version": "v2",
        "head": case.head,
        "pad": case.pad,
        "length": case.length,
        "tf": case.tf,
        "source": f"transformers {transformers.__version__} torch {torch.__version__}",
    }
    (folder / "case.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def draw_parameters(model: Any, seed: int) -> None:
    """Fills a model with numbers large enough that attention is far from uniform and every term is seen.

    Freshly initialised weights (0.02) would make all probabilities nearly equal: most mistakes would then pass.
    """
    import torch

    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = generator.standard_normal(tuple(parameter.shape))
            if name.endswith("LayerNorm.weight"):
                values = 1 + 0.2 * values
            elif values.ndim == 1:
                values = 0.2 * values
            elif "embeddings" not in name:  # a dense or convolution weight, [out, in, ...]
                values = values / np.sqrt(np.prod(values.shape[1:])) * (1.5 if values.ndim == 2 else 1.0)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def draw_inputs(case: Case, config: Any) -> dict[str, np.ndarray]:
    """Token ids with padding, the mask, and labels for a task model.

    Shape:
        input_ids, attention_mask: `[B, L]` int64; labels: `[B]` int64, `[B]` or `[B, N]` float32.
    """
    generator = np.random.default_rng([case.seed, 1])
    lengths = np.array([case.length - 4 * row for row in range(BATCH)])[:, None]
    mask = (np.arange(case.length)[None] < lengths).astype(np.int64)
    mask = mask[:, ::-1].copy() if case.pad == "left" else mask
    ids = generator.integers(1, config.vocab_size, (BATCH, case.length))
    inputs = {"input_ids": np.where(mask == 1, ids, config.pad_token_id), "attention_mask": mask}
    if case.head == "Model":
        return inputs
    labels: np.ndarray[Any, Any]
    if config.problem_type == "regression":
        labels = generator.standard_normal(BATCH).astype(np.float32)
    elif config.problem_type == "multi_label_classification":
        labels = generator.integers(0, 2, (BATCH, config.num_labels)).astype(np.float32)
    else:
        labels = generator.integers(0, config.num_labels, BATCH)
    return inputs | {"labels": labels}


def run_torch(case: Case, model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs, and gradients where the case keeps them, of the PyTorch class."""
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    output = model(**tensors, output_hidden_states=True, output_attentions=True)
    arrays = {}
    for name, value in output.items():
        parts = {f"{name}.{number}": part for number, part in enumerate(value)} if isinstance(value, tuple) else None
        for key, part in (parts or {name: value}).items():
            arrays[f"output.{key}"] = part.detach().numpy().reshape(part.shape or (1,))
    if case.gradients:
        output.loss.backward()
        arrays |= {f"grad.{name}": parameter.grad.numpy() for name, parameter in model.named_parameters()}
    return arrays


def run_tensorflow(case: Case, model: Any, folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the TensorFlow class computes with the same weights; it also writes its own file where the case keeps it.

    Only the last hidden state or the logits: its losses are not means.
    """
    import tensorflow as tf
    import transformers
    from transformers.modeling_tf_pytorch_utils import load_pytorch_model_in_tf2_model

    tf.config.experimental.enable_tensor_float_32_execution(False)
    theirs = getattr(transformers, f"TFDebertaV2{case.head}")(transformers.DebertaV2Config.from_pretrained(folder))
    # `from_pretrained` of this version does not read safetensors with the safetensors package pinned above.
    load_pytorch_model_in_tf2_model(theirs, model, allow_missing_keys=False)
    output = theirs({name: tf.constant(value) for name, value in inputs.items() if name != "labels"})
    name = "last_hidden_state" if case.head == "Model" else "logits"
    if case.h5:
        with tempfile.TemporaryDirectory() as temporary:
            theirs.save_pretrained(temporary)
            (folder / "tf_model.h5").write_bytes((Path(temporary) / "tf_model.h5").read_bytes())
    return {f"tf_output.{name}": output[name].numpy()}


def hash_table(root: Path) -> Iterator[str]:
    """The lines of the table in README.md: every file of every golden folder with its sha256."""
    yield "| file | sha256 |"
    yield "|---|---|"
    for file in sorted(path for path in root.glob("*/*") if path.is_file()):
        yield f"| `{file.relative_to(root).as_posix()}` | `{hashlib.sha256(file.read_bytes()).hexdigest()}` |"


def main() -> None:
    """Makes the folders and prints the hashes."""
    parser = argparse.ArgumentParser(description="Makes golden folders with transformers; see the file's docstring.")
    names = [case.name for case in CASES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones; all by default: {', '.join(names)}")
    parser.add_argument("--to", type=Path, default=GOLDEN, help="the folder to make them in")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}. Use: {', '.join(names)}")
    import transformers

    if transformers.__version__ != TRANSFORMERS:
        parser.error(f"transformers {transformers.__version__} is installed, but {TRANSFORMERS} is the oracle")
    transformers.logging.set_verbosity_error()
    for case in CASES:
        if not arguments.names or case.name in arguments.names:
            make(case, arguments.to / case.name)
    print("\n".join(hash_table(arguments.to)))


if __name__ == "__main__":
    main()
