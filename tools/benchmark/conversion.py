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
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import FORMATS, save_weights
from deberta_core.config import BaseConfig
from deberta_core.parameters import Array, expand
from deberta_core.presets import PRESETS

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


def main() -> int:
    """Prints a line per conversion; exit status 1 if the numbers that come back are not those that left."""
    presets = {name: cls for cls in (DebertaConfig, DebertaV2Config) for name in PRESETS[cls.model_type]}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="deberta-v2-xxlarge", choices=presets)
    parser.add_argument("--to", nargs="+", default=["h5"], choices=list(FORMATS))
    parser.add_argument("--transformers", metavar="PYTHON", help="an interpreter with transformers 4 and TensorFlow")
    parser.add_argument("--folder", type=Path, help="where the files go; default: the system's temporary folder")
    arguments = parser.parse_args()
    same = True
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        config = presets[arguments.preset].preset(arguments.preset)
        config.save_pretrained(folder / "source")
        file = save_weights(folder / "source", config, None, RandomWeights(config))
        copy = copy_seconds(file, folder / "copy")
        print(f"{arguments.preset}: {file.stat().st_size / 1e9:.2f} GB; cp {copy:.2f} s")
        print(f"{'':<28}{'seconds':>9}{'times cp':>10}{'peak MB':>9}")

        def report(what: str, measured: tuple[float, float]) -> None:
            print(f"{what:<28}{measured[0]:>9.2f}{measured[0] / copy:>10.1f}{measured[1]:>9.0f}", flush=True)

        for to in arguments.to:
            there, back = folder / to, folder / "back"
            report(f"safetensors -> {to}", run(sys.executable, OURS, folder / "source", there, to))
            report(f"{to} -> safetensors", run(sys.executable, OURS, there, back, "safetensors"))
            same &= filecmp.cmp(file, back / file.name, shallow=False)
            shutil.rmtree(there)
            shutil.rmtree(back)
        if arguments.transformers:
            report("transformers from_pt -> h5", run(arguments.transformers, THEIRS, folder / "source", folder / "tf"))
    print("bit for bit the same" if same else "the numbers that came back are NOT the same")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
