"""Anybody's implementation: cases written as files, and outputs that come back judged by the float64 reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.convert.task import class_name
from conformance.suite.adapters import Array
from conformance.suite.compare import QUANTITIES, compare_outputs, worst_errors
from conformance.suite.report import Measurement
from conformance.suite.subjects import VALUE_RUNS, Subject, subject
from deberta_core.checkpoint import save_weights
from deberta_core.config_place import CONFIG_FILE
from deberta_core.errors import DebertaError, name_list, reason
from deberta_core.files import write_text
from deberta_core.tasks import task_spec
from deberta_core.transaction import replace_folder

INPUTS, OUTPUTS = "inputs.safetensors", "outputs.safetensors"
_README = f"""# Cases

Each folder is a small model: `{CONFIG_FILE}` (`architectures` names the head), `model.safetensors`, and `{INPUTS}`.
Compute in evaluation mode and write `{OUTPUTS}` beside it, with any of: last_hidden_state, logits, start_logits,
end_logits, hidden_states.K (0 is the embeddings), attentions.K, loss. Then `python -m conformance --judge` this folder.
Attention and hidden states at padding are not judged. Cases without outputs are left out.
"""


def cases() -> Iterator[tuple[str, Subject]]:
    """The name of each case's folder, and the case."""
    for run in VALUE_RUNS:
        yield "-".join(map(str, run)), subject(*run)


def write_cases(folder: Path) -> int:
    """Writes every case into a new folder; returns how many.

    Raises:
        DebertaError: the folder exists, or cannot be written.
    """
    from safetensors.numpy import save_file

    count = 0
    with replace_folder(folder, DebertaError, force=False) as staging:
        write_text(staging / "README.md", _README)
        for name, case in cases():
            place = staging / name
            save_weights(place, case.config, case.task, case.params)
            content: dict[str, Any] = case.config.to_dict()
            content |= {"architectures": [class_name(case.config, task_spec(case.task))]}
            write_text(place / CONFIG_FILE, json.dumps(content, indent=1) + "\n")
            save_file({key: value.copy() for key, value in case.inputs.items()}, place / INPUTS)
            count += 1
    return count


def judge_cases(folder: Path) -> Iterator[Measurement]:
    """Compares what was written into a folder of cases with the reference, which computes the cases anew.

    Raises:
        DebertaError: there are no outputs at all, or some cannot be read or are no outputs of their case.
    """
    found = [(name, case) for name, case in cases() if (folder / name / OUTPUTS).is_file()]
    if not found:
        raise DebertaError(f"{folder} has no CASE/{OUTPUTS}. Write cases with --write-cases, and outputs beside them.")
    for name, case in found:
        file = folder / name / OUTPUTS
        outputs = _read(file)
        wrong = sorted(one for one in outputs if one not in case.expected or one.split(".")[0] not in _KINDS)
        if wrong:
            known = [one for one in case.expected if one.split(".")[0] in _KINDS]
            raise DebertaError(f"{file} holds {name_list(wrong)}. Outputs of this case are {name_list(known, 12)}.")
        for kind, error in worst_errors(compare_outputs(outputs, case.expected, case.mask)).items():
            yield Measurement(name, folder.name, kind, error)


_KINDS = {*QUANTITIES, "start_logits", "end_logits"}


def _read(file: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, Array] = load_file(file)
    except (SafetensorError, OSError, ValueError) as problem:
        raise DebertaError(f"{file} cannot be read: {reason(problem)}") from None
    return found
