"""`python -m tests.core.run_bombs FOLDER` reads every bomb in a child of its own.

The child has 300 MB more than the imports take, and 20 seconds. For each, a line of JSON is printed: name, what came
out, seconds.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from deberta_core.checkpoint import save_weights
from deberta_core.errors import DebertaError
from deberta_core.parameters import expand
from deberta_core.tokenization import DebertaV2TokenizerFast
from tests.conftest import PROSE
from tests.core.bombs import BOMBS, SMALL, Make, config, tokenizer, weights

MEMORY, SECONDS = 300 << 20, 20


def run(read: Make, folder: Path) -> str:
    """What comes out of reading in a child."""
    inside, outside = os.pipe()
    child = os.fork()
    if not child:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        signal.alarm(SECONDS)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        try:
            read(folder)
            said = "accepted"
        except DebertaError as problem:
            late = isinstance(problem.__cause__, MemoryError) or isinstance(problem.__context__, MemoryError)
            said = f"{'MemoryError' if late else 'refused'}: {problem}"
        except BaseException as problem:
            said = f"{type(problem).__name__}: {problem}"
        os.write(outside, said[:600].encode(errors="replace"))
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside, "rb") as answer:
        said = answer.read().decode(errors="replace")
    return said or f"ended with {os.waitpid(child, 0)[1]}"


def main(top: Path) -> None:
    whole = top / "whole"
    DebertaV2TokenizerFast.train(PROSE, 500, model_max_length=64).save_pretrained(whole)
    SMALL.save_pretrained(whole)
    random = np.random.default_rng(0)
    parameters = {name: random.normal(size=p.shape).astype("f4") for name, p in expand(SMALL, None).items()}
    for format in ("h5", "bin", "safetensors"):  # what is imported late comes before the baseline
        save_weights(top / "warm", SMALL, None, parameters, format)
        weights(top / "warm")
        (top / "warm").rename(top / f"warm-{format}")
    config(whole)
    tokenizer(whole)
    for name, (_, make, read) in BOMBS.items():
        folder = top / name
        folder.mkdir()
        for file in whole.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        make(folder)
        begin = time.monotonic()
        print(json.dumps([name, run(read, folder), round(time.monotonic() - begin, 2)]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
