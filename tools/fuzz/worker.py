"""The process that reads inputs: `python -m tools.fuzz.worker TARGET SCRATCH MEBIBYTES`; and how it is spoken to.

Each line it is sent is a key; it reads the input in SCRATCH/case by a way the key chooses, and answers with a line of
JSON. It may die or never answer: then another takes its place.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from random import Random

from tools.fuzz.corpus import Files, write_files
from tools.fuzz.targets import find_target
from tools.fuzz.watch import ROOT, Result, Watch, address_space

_START_SECONDS = 180
# One thread each, whose stacks and heaps would take address space at times of their own.
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"),
    **{"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"},
}


class WorkerError(RuntimeError):
    """The worker cannot be started, or refuses what is not damaged."""


class Worker:
    """A process for a target, started when it is needed, and again after it died.

    Args:
        target: its name.
        scratch: a folder with the undamaged inputs in `corpus`; inputs are put into `case`, before they are read.
        mebibytes: an input may take beyond what the process has at its start.
        seconds: an input may take.
    """

    def __init__(self, target: str, scratch: Path, mebibytes: int, seconds: float) -> None:
        self._command = [sys.executable, "-m", "tools.fuzz.worker", target, str(scratch), str(mebibytes)]
        self._case, self._seconds = scratch / "case", seconds
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, key: str, files: Files) -> Result:
        """Reads an input, by a way that the key chooses."""
        process = self._process or self._start()
        write_files(self._case, files)
        assert process.stdin is not None
        try:
            process.stdin.write(f"{key}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            return self._died()
        answer = self._answer(process, self._seconds)
        if answer is None:
            self.close()
            return Result("hang", "", f"no answer within {self._seconds:g} s", self._seconds)
        return Result(**json.loads(answer)) if answer else self._died()

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | _ENVIRONMENT | {"PYTHONPATH": paths}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=ROOT)
        ready = self._answer(self._process, _START_SECONDS)
        if not ready or json.loads(ready)["kind"] != "read":
            self._process.kill()
            _, errors = self._process.communicate()
            raise WorkerError((ready or errors or b"no answer").decode(errors="replace")[-3000:])
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """A line, empty if the process ended; None if there is none in time."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else None

    def _died(self) -> Result:
        assert self._process is not None
        code = self._process.wait()
        self._process.communicate()
        self._process = None
        how = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return Result("crash", how, f"the process ended with {how}")


def main(name: str, scratch: Path, mebibytes: int) -> None:
    """Answers keys until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    warnings.simplefilter("ignore")
    target, watch, case = find_target(name), Watch(), scratch / "case"
    target.prepare()
    result = Result("refused")
    for number, folder in enumerate(sorted((scratch / "corpus").iterdir()) * 3):  # undamaged, by several ways
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(folder, case)
        found = watch.run(partial(target.read, case, Random(number)), case)
        if found.kind in ("read", "crash", "memory", "exception") and not result.is_failure:
            result = found  # not an effect: imports have some
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    (scratch / "elsewhere").mkdir(exist_ok=True)
    os.chdir(scratch / "elsewhere")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = address_space() + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps(dataclasses.asdict(result)), file=answers)
    for line in sys.stdin:
        result = watch.run(partial(target.read, case, Random(line.strip())), case)
        if left := sorted(Path.cwd().iterdir()):
            result = Result("effect", "working directory", f"left {left}")
            for file in left:
                file.unlink()
        print(json.dumps(dataclasses.asdict(result)), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
