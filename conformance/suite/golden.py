"""Golden folders: checkpoints with inputs, outputs, losses and gradients, by transformers or Microsoft's code.

A folder holds `case.json`, `config.json`, `model.safetensors` and `expected.safetensors` with `input.*`, `output.*`,
`tf_output.*` and `grad.*`. Our own lie in `conformance/golden`; a larger set is used where `$DEBERTA_SHARED`, or the
folder `shared` beside the repository, has one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.tasks import BACKBONE, PRETRAINING_MODULES, TASKS, task_spec

Array = npt.NDArray[Any]

ROOT = Path(__file__).parents[2]
OWN = ROOT / "conformance" / "golden"
SHARED = Path(os.environ.get("DEBERTA_SHARED", ROOT.parent / "shared")) / "goldens"
PRETRAINING = SHARED.with_name("goldens-pretraining")

_TASK_OF_HEAD = {spec.class_suffix: spec.name for spec in TASKS.values()} | {BACKBONE.class_suffix: None}
_CONFIGS: dict[str, type[BaseConfig]] = {"v1": DebertaConfig, "v2": DebertaV2Config}


@dataclass(frozen=True, slots=True)
class Golden:
    """One golden folder."""

    folder: Path
    config: BaseConfig
    task: str | None
    is_float64: bool = False

    def tensors(self, kind: str) -> dict[str, Array]:
        """The tensors of one kind: "input", "output", "tf_output" or "grad"; losses as scalars."""
        from safetensors.numpy import load_file

        named = load_file(self.folder / "expected.safetensors")
        chosen = {name.removeprefix(f"{kind}."): value for name, value in named.items() if name.startswith(f"{kind}.")}
        if kind.endswith("output"):
            chosen = {name: self._shaped(name, value) for name, value in chosen.items()}
        return chosen

    def params(self) -> dict[str, Array]:
        """The checkpoint's parameters, without those the configuration does not use."""
        from safetensors.numpy import load_file

        from deberta_core.parameters import expand

        stored = load_file(self.folder / "model.safetensors")
        return {name: stored[name] for name in expand(self.config, self.task)}

    def mask(self) -> Array:
        """True at real tokens, `[B, L]`; texts of multiple choice are folded."""
        mask = self.tensors("input")["attention_mask"].astype(bool)
        return mask.reshape(-1, mask.shape[-1])

    def _shaped(self, name: str, value: Array) -> Array:
        if name == "loss":
            return value.reshape(())
        if name == "logits" and self.task == "sequence_classification":  # HF squeezes regression logits
            return value.reshape(-1, self.config.num_labels or 2)
        return np.asarray(value)


def goldens(*, with_gradients: bool = False) -> Iterator[Any]:
    """A pytest parameter per golden folder whose model and task exist here, and that holds gradients if asked for."""
    import pytest
    from safetensors import safe_open

    for root in (OWN, SHARED, PRETRAINING):
        for file in sorted(root.glob("*/case.json")):
            case = json.loads(file.read_text(encoding="utf-8"))
            task = _TASK_OF_HEAD.get(case["head"], "")
            of_pretraining = task and not {*task_spec(task).head_modules} - {*PRETRAINING_MODULES}
            if case["version"] in _CONFIGS and task != "" and (of_pretraining or root != PRETRAINING):
                with safe_open(file.parent / "expected.safetensors", "np") as expected:
                    if with_gradients and not any(name.startswith("grad.") for name in expected.keys()):  # noqa: SIM118
                        continue
                decoder = {"mlm_decoder": case["decoder"]} if "decoder" in case else {}
                config = _CONFIGS[case["version"]].from_pretrained(file.parent, **decoder)
                golden = Golden(file.parent, config, task, is_float64="float64" in case.get("source", ""))
                yield pytest.param(golden, id=f"{root.parent.name}-{file.parent.name}")
