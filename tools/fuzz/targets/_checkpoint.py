"""How all formats of weights are read."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

from conformance.convert.convert import convert
from conformance.convert.inspection import inspect
from deberta_core.auto import AutoConfig
from deberta_core.checkpoint import FORMATS, load_weights, open_weights
from deberta_core.errors import DebertaError


def read_checkpoint(folder: Path, random: Random) -> None:
    """Reads every array; then converts, inspects, or fits the weights to a model."""
    config = AutoConfig.from_pretrained(folder)
    with open_weights(folder, config) as weights:
        for name in weights:
            with contextlib.suppress(DebertaError):
                weights[name]
    way = random.randrange(3)
    if way == 0:
        convert(folder, folder / "converted", random.choice(sorted(FORMATS)))
    elif way == 1:
        inspect(folder, check_values=True)
    else:
        with load_weights(folder, config, random.choice((None, "sequence_classification"))) as loaded:
            for name in loaded.weights:
                loaded.weights[name]
