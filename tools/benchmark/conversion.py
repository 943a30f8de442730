"""Time and memory of converting a random checkpoint to every format and back, beside `cp` and transformers.

Needs free disk space of four times the checkpoint in `--folder`, which is emptied at the end:

    python tools/benchmark/conversion.py --preset deberta-v2-xxlarge
    python tools/benchmark/conversion.py --preset deberta-v3-large --transformers OTHER_ENVIRONMENT/bin/python
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import FORMATS, save_weights
from deberta_core.config import BaseConfig
from deberta_core.parameters import Array, expand
from deberta_core.presets import PRESETS

Report = Callable[[dict[str, Any]], None]

# Each runs in a fresh process and prints seconds without imports, and the peak of its own memory in MB.
OURS = """
import sys, time
from conformance.convert.convert import convert
start = time.perf_counter()
convert(sys.argv[1], sys.argv[2], sys.argv[3])
print(time.perf_counter() - start)
"""
THEIRS = """
import sys, time
from transformers import TFDebertaModel, TFDebertaV2Model, AutoConfig
kind = {"deberta": TFDebertaModel, "deberta-v2": TFDebertaV2Model}[AutoConfig.from_pretrained(sys.argv[1]).model_type]
start = time.perf_counter()
kind.from_pretrained(sys.argv[1], from_pt=True).save_pretrained(sys.argv[2])
print(time.perf_counter() - start)
"""
MEMORY = """
print(int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) / 1024)
"""


class RandomWeights(Mapping[str, Array]):
    """Random parameters of a model, made when they are asked for and different in every place."""

    def __init__(self, config: BaseConfig) -> None:
        self._table = expand(config, None)
        self._random = np.random.default_rng(0)

    def __getitem__(self, name: str) -> Array:
        return self._random.standard_normal(self._table[name].shape, dtype=np.float32) * np.float32(0.02)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def run(python: str, code: str, *arguments: object) -> tuple[float, float]:
    """Seconds and peak memory in MB of a fresh process."""
    command = [python, "-c", code + MEMORY, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = map(float, done.stdout.split()[-2:])
    return seconds, memory


def copy_seconds(source: Path, target: Path) -> float:
    """The faster of two runs of `cp`, whose file is deleted again; the first one fills the page cache."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(["cp", source, target], check=True)
        times.append(time.perf_counter() - start)
        target.unlink()
    return min(times)


def presets() -> dict[str, type[BaseConfig]]:
    """The configuration class of every published size."""
    return {name: cls for cls in (DebertaConfig, DebertaV2Config) for name in PRESETS[cls.model_type]}


def measure(
    preset: str, formats: Sequence[str], transformers: str | None, folder: Path | None, report: Report = print
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Converts there and back.

    Args:
        preset: a name of `presets`.
        formats: names of `FORMATS`.
        transformers: an interpreter with transformers 4 and TensorFlow; None leaves it out.
        folder: where the files go; None for the system's temporary folder.
        report: gets every row when it is measured, and before them what was measured.

    Returns:
        The size in GB, the seconds of `cp`, whether the numbers that came back are those that left; and a row per
        conversion: seconds, how many times `cp`, peak memory in MB.
    """
    same, rows = True, []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        config = presets()[preset].preset(preset)
        config.save_pretrained(place / "source")
        file = save_weights(place / "source", config, None, RandomWeights(config))
        copy = copy_seconds(file, place / "copy")
        facts: dict[str, Any] = {"preset": preset, "size": file.stat().st_size / 1e9, "copy": copy}
        report(facts)

        def add(what: str, measured: tuple[float, float]) -> None:
            rows.append({"what": what, "seconds": measured[0], "copies": measured[0] / copy, "memory": measured[1]})
            report(rows[-1])

        for to in formats:
            there, back = place / to, place / "back"
            add(f"safetensors -> {to}", run(sys.executable, OURS, place / "source", there, to))
            add(f"{to} -> safetensors", run(sys.executable, OURS, there, back, "safetensors"))
            same &= filecmp.cmp(file, back / file.name, shallow=False)
            shutil.rmtree(there)
            shutil.rmtree(back)
        if transformers:
            add("transformers from_pt -> h5", run(transformers, THEIRS, place / "source", place / "tf"))
    return {**facts, "same": same}, rows


def show(found: dict[str, Any]) -> None:
    """Prints a row, or the line above them."""
    if "what" in found:
        line = f"{found['what']:<28}{found['seconds']:>9.2f}{found['copies']:>10.1f}{found['memory']:>9.0f}"
    else:
        line = f"{found['preset']}: {found['size']:.2f} GB; cp {found['copy']:.2f} s\n"
        line += f"{'':<28}{'seconds':>9}{'times cp':>10}{'peak MB':>9}"
    print(line, flush=True)


def main() -> int:
    """Prints a line per conversion; exit status 1 if the numbers that come back are not those that left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="deberta-v2-xxlarge", choices=presets())
    parser.add_argument("--to", nargs="+", default=["h5"], choices=list(FORMATS))
    parser.add_argument("--transformers", metavar="PYTHON", help="an interpreter with transformers 4 and TensorFlow")
    parser.add_argument("--folder", type=Path, help="where the files go; default: the system's temporary folder")
    arguments = parser.parse_args()
    facts, _ = measure(arguments.preset, arguments.to, arguments.transformers, arguments.folder, show)
    print("bit for bit the same" if facts["same"] else "the numbers that came back are NOT the same")
    return 0 if facts["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
