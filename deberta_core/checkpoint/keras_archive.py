"""Writing `.keras` archives, which `keras.models.load_model` opens once `deberta_tf` is imported."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deberta_core.checkpoint.keras_file import IN_ARCHIVE, write_keras
from deberta_core.checkpoint.lazy import describe
from deberta_core.config import BaseConfig
from deberta_core.parameters import Array
from deberta_core.tasks import BACKBONE, task_spec

_KERAS_VERSION = "3.15.1"  # whose archives these are like
_SAVED = "1980-01-01@00:00:00"  # zip's earliest: the same model gives the same file


def write_keras_archive(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes what `save` of our Keras model writes, not compiled; the weights piece by piece.

    Args:
        file: the file, replaced if it exists; as much space again is needed beside it while it is written.
        config: the model's configuration.
        task: its task; None for the backbone.
        weights: the model's names to arrays in PyTorch's layout; the first one's dtype is the model's.

    Source:
        keras `src/saving/saving_lib.py`: stored, not compressed, metadata.json, config.json and the weights.
    """
    dtype = describe(weights, next(iter(weights)))[1].name
    members = {
        "metadata.json": {"keras_version": _KERAS_VERSION, "date_saved": _SAVED},
        "config.json": _model_config(config, task, dtype),
    }
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
        part = Path(folder) / IN_ARCHIVE
        write_keras(part, config, task, weights)
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), json.dumps(content))
            with part.open("rb") as source, archive.open(zipfile.ZipInfo(IN_ARCHIVE), "w", force_zip64=True) as target:
                while piece := source.read(1 << 24):
                    target.write(piece)


def _model_config(config: BaseConfig, task: str | None, dtype: str) -> dict[str, Any]:
    """What `get_config` of the model and Keras' serialization around it give."""
    spec = task_spec(task)
    name = f"TF{type(config).__name__.removesuffix('Config')}{spec.class_suffix}"
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}, "registered_name": None}
    return {
        "module": "deberta_tf.models" if spec is BACKBONE else "deberta_tf.tasks",
        "class_name": name,
        "config": {"config": config.to_dict(), "name": name.lower(), "dtype": policy},
        "registered_name": f"deberta_tf>{name}",
        "build_config": {"shapes_dict": {}},
        "compile_config": {},
    }
