"""The command as a process: interrupted while it imports, its output closed, its signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERRUPTED = "deberta: error: interrupted, nothing half-written was left\n"

# Sends the process a signal when a module is first asked for, then goes on to import it.
_STARTS = """
import os, signal, sys
number, wanted = int(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may ignore them
for other in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(other, signal.SIG_DFL)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = sys.argv[3:]
from deberta_dual.cli import main
sys.exit(main())
"""


def run(code: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["numpy", "deberta_core", "deberta_dual.commands.run", "deberta_dual.pipelines"])
def test_an_interrupt_during_imports_is_one_line(module, number):
    done = run(_STARTS, str(int(number)), module, "run", "--help")
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


def test_the_command_imports_nothing_big_before_it_listens():
    code = "import sys, deberta_dual.cli; print(*{name.partition('.')[0] for name in sys.modules} - {'deberta_dual'})"
    loaded = set(run(code).stdout.split())
    assert not {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith(("_", "site"))}


_COMMAND = """
import os, signal, sys
import deberta_dual.commands.inspect as command
from deberta_dual.cli import main
how = sys.argv[1]
signal.signal(signal.SIGINT, signal.SIG_IGN if how == "ignored" else signal.default_int_handler)
def work(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)  # once more, while it cleans up
        if how == "other":
            raise ImportError("made of it by a library") from None
        raise
    return 0
command.main = work
sys.argv[1:] = ["inspect"]
sys.exit(main())
"""


@pytest.mark.parametrize("how", ["plain", "other"])
def test_a_second_interrupt_and_other_errors_of_it_are_one_line_too(how):
    done = run(_COMMAND, how)
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


def test_a_signal_that_the_parent_ignores_stays_ignored():
    done = run(_COMMAND, "ignored")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["finetune", "--help"]])
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_left_is_no_error(arguments, buffered):
    assert run_closed([*([] if buffered else ["-u"]), "-m", "deberta_dual.cli", *arguments]) == (0, "")


def test_the_status_of_a_check_stays_where_nobody_reads():
    code = """
import deberta_dual.commands.inspect as command
from deberta_dual.cli import main
command.main = lambda arguments: print("a line") or 1
raise SystemExit(main(["inspect"]))
"""
    assert run_closed(["-c", code]) == (1, "")


def test_training_goes_on_where_nobody_reads():
    code = """
import sys
from deberta_dual.commands.messages import print_row
for number in range(3):
    print_row({"step": number})
print("went on", file=sys.stderr)
"""
    assert run_closed(["-c", code]) == (0, "went on\n")


def run_closed(arguments: list[str]) -> tuple[int, str]:
    """Status and errors of a process whose output has no reader."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment, timeout=120)
    os.close(writer)
    return done.returncode, done.stderr


def test_a_missing_file_is_named_in_our_words(tmp_path):
    missing = str(tmp_path / "nope")
    for arguments in (
        ["run", "--task", "fill-mask", "--model", missing, "--input", missing],
        ["finetune", "--task", "text-classification", "--model", missing, "--data", missing, "--output", missing],
        ["inspect", missing],
        ["convert", missing, missing, "--to", "bin"],
    ):
        done = run("import sys; from deberta_dual.cli import main; sys.exit(main())", *arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "Errno" not in done.stderr
        assert missing in done.stderr
