"""Everything that is to be seen on a GPU, in one run on a bare machine: numbers, graphs, threads, speed and memory.

`python tools/gpu/check.py --goldens DIR --peers DIR --out FILE`. Without a GPU, `--device cpu --tiny` runs every line.
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goldens", type=Path, help="the folder of goldens; default is the repository's own alone")
    parser.add_argument("--sections", default=",".join(ORDER), help="names with commas between")
    parser.add_argument("--full", action="store_true", help="without a limit of time")
    parser.add_argument("--seconds", type=float, default=270, help="after which nothing more is begun")
    parser.add_argument("--out", type=Path, help="a JSON file, written after each row")
    parser.add_argument("--peers", type=Path, help="a folder of wheels of other libraries")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, to see that every line runs")
    options = parser.parse_args()
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
