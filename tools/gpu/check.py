"""Everything that is to be seen on a GPU, in one run on a bare machine: numbers, graphs, threads, speed and memory.

`python tools/gpu/check.py --goldens DIR --peers DIR --out FILE`. Without a GPU, `--device cpu --tiny` runs every line,
the kernels in Triton's interpreter.

How to measure in 15 minutes, on a bare machine with one H100, Python 3.12 and torch 2.11, what is still open: a
training step at (16, 512) at least 1.3 times as fast as FlashDeBERTa's, and ahead of DisentangledFlash everywhere.
`peers/` holds wheels carried along: disentangled_flash 1.1.1, flashdeberta 0.0.8, and transformers with what it imports
that is not there.

    export OUT=${OUT:-out}; mkdir -p $OUT
    # 1. The numbers first, for a kernel that is wrong is not fast: 2 minutes.
    python tools/gpu/check.py --sections kernels,waiting,goldens --seconds 120 --out $OUT/numbers.json
    # 2. Training steps, ours and the peers', full and half padding: 3 minutes.
    python tools/gpu/check.py --peers peers --sections training --seconds 180 --out $OUT/training.json
    # 3. Every cell of inference, and mixed lengths: 4 minutes.
    python tools/gpu/check.py --peers peers --sections inference,mixed --seconds 240 --out $OUT/inference.json
    # 4. Where a training step's time goes, if 2 fell short: 2 minutes.
    python tools/gpu/check.py --peers peers --sections profile --seconds 120 --out $OUT/profile.json
    # 5. Other block sizes: 80 seconds.
    python tools/gpu/check.py --sections blocks --out $OUT/blocks.json

Each writes its JSON after each row, so that what is cut off is not lost; what it holds goes into the runs of
`docs/gpu.json`, of which `tools/gpu/page.py` writes the page.
The bars: in training.json, "ours, triton" or "ours, triton-atomic" at cell [16, 512] "full" takes at most
FlashDeBERTa's ms / 1.3, and at every cell and batch less than DisentangledFlash's; in inference.json, "ours, optimize"
takes less than both DisentangledFlash rows in every cell.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
ORDER = (
    "kernels",
    "blocks",
    "goldens",
    "graphs",
    "waiting",
    "inference",
    "mixed",
    "training",
    "profile",
    "compiled",
    "keras",
    "compiled_transformers",
)


def main() -> None:
    """Runs the sections that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goldens", type=Path, help="the folder of goldens; default is the repository's own alone")
    parser.add_argument("--sections", default=",".join(ORDER), help="names with commas between")
    parser.add_argument("--full", action="store_true", help="without a limit of time")
    parser.add_argument("--seconds", type=float, default=270, help="after which nothing more is begun")
    parser.add_argument("--out", type=Path, help="a JSON file, written after each row")
    parser.add_argument("--peers", type=Path, help="a folder of wheels of other libraries")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, to see that every line runs")
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported
    if options.goldens is not None:
        os.environ["DEBERTA_SHARED"] = str(options.goldens.resolve().parent)

    import torch

    from tools.gpu import correctness, profiles, speed, subjects
    from tools.gpu.rows import Rows

    subjects.find_peers(options.peers)
    device = torch.device(options.device)
    rows = Rows(options.out, device, options.tiny, 1e9 if options.full else options.seconds)
    rows.add("machine", torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
             **_versions(), date=time.strftime("%Y-%m-%d"))  # fmt: skip
    places = (correctness, profiles, speed)
    sections = {name: next(getattr(place, name) for place in places if hasattr(place, name)) for name in ORDER}
    for name in options.sections.split(","):
        begin = time.perf_counter()
        try:
            sections[name](rows)
        except Exception as error:
            rows.add(name, "the section itself", error=f"{type(error).__name__}: {error}"[:400])
        print(f"-- {name}: {time.perf_counter() - begin:.1f} s", flush=True)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "triton", "transformers", "disentangled-flash", "flashdeberta", "keras", "jax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not here"
    return found


if __name__ == "__main__":
    main()
