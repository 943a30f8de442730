"""Checkpoints by name: a folder, a weight file, or a hub id, whose files are downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deberta_core.checkpoint.formats import FORMATS
from deberta_core.config_place import CONFIG_FILE
from deberta_core.errors import WeightError
from deberta_core.hub import Wanted, local_folder


def checkpoint_folder(
    path: str | Path | None,
    *,
    with_config: bool = True,
    with_weights: bool = True,
    also: Sequence[str] = (),
    **hub_options: Any,
) -> Path:
    """Finds a checkpoint, downloading config.json and the weights in the first format the hub has them in.

    Args:
        path: a folder or a weight file, taken as it is; or a hub id.
        with_config: whether config.json is downloaded too.
        with_weights: whether the weights are.
        also: other files, downloaded where the hub has them.
        **hub_options: see `deberta_core.hub.local_folder`.

    Raises:
        WeightError: see `deberta_core.hub.local_folder`.
    """
    weights = tuple(name for row in FORMATS.values() for name in (row.file_name, row.index_name))
    required = [*([(CONFIG_FILE,)] if with_config else []), *([weights] if with_weights else [])]
    wanted = [*map(Wanted, required), *(Wanted((name,), required=False) for name in also)]
    return local_folder(path, wanted, WeightError, **hub_options)
