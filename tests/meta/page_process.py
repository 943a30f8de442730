"""Runs a page of documentation, block by block, as a reader would type it: the work of one process.

`namespace` is what the reader's interpreter would hold. A command of ours runs in it, too, so that a framework is
imported once; what needs a shell has one.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run_page(blocks: Sequence[tuple[str, str, str | None]], folder: Path, log: Path) -> None:
    """Runs blocks of language, code and output in `folder`, and writes all that is printed to `log`; exits otherwise.

    The `…` of an output stands for digits that machines differ in.
    """
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    namespace = {"__name__": "__main__"}
    for language, code, output in blocks:
        print("---", code)
        screen = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        try:
            with contextlib.redirect_stdout(screen):
                _run(language, code, namespace)
        finally:
            printed = screen.buffer.getvalue().decode()
            print(printed)
        if output is not None and not re.fullmatch(re.escape(output).replace("…", "[0-9.e-]+"), printed):
            sys.exit("it printed something else than the page says")


def _run(language: str, code: str, namespace: dict[str, Any]) -> None:
    from deberta_dual.cli import main

    line = code.replace("\\\n", " ").strip()
    if language == "python":
        exec(compile(code, "page", "exec"), namespace)
    elif re.fullmatch(r"deberta [^|<>;&$`\n]*", line):
        status = main(shlex.split(line)[1:])
        assert status == 0, f"status {status}"
    else:
        sys.stdout.buffer.write(subprocess.run(code, shell=True, check=True, stdout=subprocess.PIPE).stdout)
