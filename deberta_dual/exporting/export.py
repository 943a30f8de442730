"""`export`: a checkpoint as a file that another runtime executes, with what else that runtime's users look for."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.convert.convert import CARRIED
from conformance.convert.task import class_name, find_task
from conformance.convert.verify import Line, compare_outputs, counted, make_inputs
from deberta_core.checkpoint import checkpoint_folder, leads_outside, load_config, load_weights, open_weights
from deberta_core.config_place import CONFIG_FILE
from deberta_core.errors import DebertaError, InputError, one_of
from deberta_core.files import write_text
from deberta_core.reference.forward import forward
from deberta_core.tasks import task_spec
from deberta_core.transaction import replace_files
from deberta_dual.exporting.source import Source
from deberta_dual.exporting.targets import TARGETS, Target

OWN = "own"  # the checkpoint's own task
README = "README.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        folder: the folder of the export.
        file: the main file.
        task: of the model; None is the backbone.
        lines: the comparisons with the float64 reference; empty without `verify`.
    """

    folder: Path
    file: Path
    task: str | None
    lines: tuple[Line, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every difference is within its bound."""
        return all(line.passed for line in self.lines)


def export(
    model: str | Path,
    output: str | Path,
    to: str = "onnx",
    *,
    task: str | None = OWN,
    dtype: str = "float32",
    ids: str = "int64",
    pooling: str | None = None,
    normalize: bool = False,
    opset: int | None = None,
    verify: bool = False,
    force: bool = False,
) -> Exported:
    """Writes a checkpoint for another runtime.

    `output` then has config.json, the tokenizer's files and, in a folder of the format (such as `onnx/`), the model
    with a README.md. Files of other formats and dtypes there stay. It may be the checkpoint's own folder.

    Args:
        model: a checkpoint folder or a hub id.
        output: the folder to write.
        to: a name of `TARGETS`.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone, "own" for the checkpoint's own task.
        dtype: of the weights: one of those that the format has; "int8" and "int8-weights" change answers, so judge
            them on data of your own.
        ids: type of the inputs, "int64" or "int32".
        pooling: of the backbone: also returns a vector of each text: "cls", "mean" or "max".
        normalize: whether that vector is divided by its length.
        opset: the version of ONNX's operators, from 20 to 22; None is 20, which most runtimes know.
        verify: compares the outputs of what was written with the float64 reference.
        force: replace this very file in `output`.

    Raises:
        InputError: an argument is not allowed, a package is missing, the file is there, or it cannot be written.
        ConfigError: config.json is missing or wrong.
        WeightError: the weights are missing or do not fit.
    """
    if to not in TARGETS:
        raise InputError(one_of("to", to, tuple(TARGETS)))
    target = TARGETS[to]
    if dtype not in target.bounds:
        raise InputError(one_of(f"{to}'s dtype", dtype, tuple(target.bounds)))
    given = {"ids": ids, "pooling": pooling, "normalize": normalize, "opset": opset}
    defaults = {"ids": "int64", "pooling": None, "normalize": False, "opset": None}
    changed = {name: value for name, value in given.items() if value != defaults[name]}
    for name, value in changed.items():
        if name not in target.options:
            raise InputError(f"{name}={value!r} is not for to={to!r}. Leave it out.")
    target.check()
    folder = Path(output)
    file = folder / target.folder / target.file_name(dtype, ids)
    if file.exists() and not force:
        raise InputError(f"{file} exists already. Choose another folder, or pass --force to replace it.")
    source = _opened(checkpoint_folder(model, also=CARRIED), task)
    with replace_files(folder, InputError) as staging:
        place = staging / target.folder
        place.mkdir()
        _keep_others(folder / target.folder, place)
        _write(source, target, place / file.name, dtype, changed)
        write_text(place / README, _readme(source, target, place))
        if source.folder.resolve() != folder.resolve():
            _carry(source, staging)
    lines = compare(source, target, file, dtype) if verify else ()
    return Exported(folder, file, source.task, tuple(lines))


def verify_export(
    model: str | Path, output: str | Path, to: str = "onnx", *, task: str | None = OWN, dtype: str = "float32"
) -> list[Line]:
    """Compares what an export computes with the float64 reference on the checkpoint's weights.

    Raises:
        InputError: the file is missing, or no longer one that the runtime reads.
    """
    target = TARGETS[to]
    file = Path(output) / target.folder / target.file_name(dtype, "int64")
    if not file.exists():
        raise InputError(f"{file} does not exist. Export the model first.")
    return compare(_opened(checkpoint_folder(model), task), target, file, dtype)


def compare(source: Source, target: Target, file: Path, dtype: str) -> list[Line]:
    """The lines of `verify_export`."""
    inputs = make_inputs(source.folder, source.config, source.task)
    expected = forward(source.config, source.params, inputs, source.task)
    try:
        run = target.runner()(file)
        types = {"token_type_ids": inputs["input_ids"] * 0} if source.config.type_vocab_size else {}
        actual = run({**inputs, **types})
    except InputError:
        raise
    except Exception as problem:  # each runtime has its own
        raise InputError(f"{file} cannot be run: {str(problem).splitlines()[0]}. Export it again.") from problem
    kept = counted(inputs["attention_mask"], source.task)
    return compare_outputs(target.folder, f"of {file.name}", actual, expected, kept, source.task, target.bounds[dtype])


def _write(source: Source, target: Target, file: Path, dtype: str, options: dict[str, Any]) -> None:
    """Writes the model, and says in one sentence what a converter has against it.

    Raises:
        InputError: the converter failed; each has its own exceptions.
        OSError: the disk is full, or the like.
    """
    try:
        target.writer()(source, file, dtype, **options)
    except (DebertaError, OSError):
        raise
    except Exception as problem:
        packages = ", ".join(package for package, _ in target.needs)
        line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise InputError(
            f"{target.folder}/{file.name} cannot be written: {line} Look for room on the disk, and for newer versions "
            f"of {packages}."
        ) from problem


def _opened(folder: Path, task: str | None) -> Source:
    config = load_config(None, folder, "masked_lm")  # settles which masked-LM head that would be
    if task == OWN:
        with open_weights(folder, config) as stored:
            task = find_task(config, stored)
    spec = task_spec(task)
    task = spec.name if spec.head_modules else None
    with load_weights(folder, config, task) as loaded:
        params = dict(loaded.weights)
    return Source(folder, config, params, task)


def _keep_others(before: Path, place: Path) -> None:
    """What an earlier export wrote beside; the new file replaces one of its name."""
    if before.is_dir():
        shutil.copytree(before, place, dirs_exist_ok=True, symlinks=True)


def _carry(source: Source, staging: Path) -> None:
    """config.json, which names the model's class, and the files of the tokenizer and of its use."""
    content: dict[str, Any] = source.config.to_dict()
    content |= {"architectures": [class_name(source.config, task_spec(source.task))]}
    write_text(staging / CONFIG_FILE, json.dumps(content, indent=2) + "\n")
    for name in CARRIED:
        if (source.folder / name).is_file() and not leads_outside(source.folder, name):
            (staging / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.folder / name, staging / name)


def _readme(source: Source, target: Target, place: Path) -> str:
    """What lies in the folder of a format, and how it is loaded."""
    spec = task_spec(source.task)
    names = sorted({target.file_name(dtype, ids) for dtype in target.bounds for ids in ("int64", "int32")})
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if source.config.type_vocab_size else [])]
    outputs = [name for name in spec.output.all_fields if name not in _NOT_WRITTEN]
    return "\n".join(
        [
            f"# {class_name(source.config, spec)} for other runtimes",
            "",
            f"Written by `deberta export`. Inputs: {', '.join(inputs)}, integers "
            f"{'[batch, choices, length]' if spec.folds_choices else '[batch, length]'}, of any batch size and length.",
            f"Outputs: {', '.join(outputs)}.",
            "",
            "```python",
            *(target.usage.format(file=name) for name in names if (place / name).exists()),
            "```",
            "",
        ]
    )


_NOT_WRITTEN = ("loss", "hidden_states", "attentions")
