"""config.json."""

from __future__ import annotations

from pathlib import Path
from random import Random

from deberta_core.auto import AutoConfig
from deberta_core.checkpoint import load_weights
from tools.fuzz.changes.json_values import change_json
from tools.fuzz.corpus import configurations
from tools.fuzz.targets import Target, one_file


def _read(folder: Path, random: Random) -> None:
    """Reads a configuration, writes it and reads it again, and opens weights with it."""
    config = AutoConfig.from_pretrained(folder)
    config.save_pretrained(folder / "again")
    again = AutoConfig.from_pretrained(folder / "again")
    if again != config and "nan" not in repr(config):
        raise AssertionError(f"what was written is not what was read: {config!r:.200} {again!r:.200}")
    task = random.choice((None, "sequence_classification", "masked_lm"))
    load_weights(folder, config, task).weights.close()


TARGET = Target(configurations, one_file("config.json", change_json), _read)
