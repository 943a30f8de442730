"""A reader with a fault of each kind, for the test of the fuzzer."""

import os
import signal
import time
from pathlib import Path
from random import Random

from deberta_core.errors import InputError
from tools.fuzz.targets import Target

_FAULTS = (b"exception", b"memory", b"crash", b"effect", b"refused", b"read")


def _change(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {"file": random.choice(_FAULTS)}


def _read(folder: Path, random: Random) -> None:
    content = (folder / "file").read_bytes()
    if content == b"exception":
        raise KeyError(content)
    if content == b"memory":
        bytearray(2**30)
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"effect":
        (folder.parent / "beside").write_bytes(content)
    if content == b"refused":
        raise InputError("no.")
    if content == b"hang":
        time.sleep(60)


TARGET = Target(lambda folder: [{"file": b"whole"}], _change, _read)
