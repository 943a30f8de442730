import importlib
import importlib.metadata

import pytest

from deberta_core.errors import ConfigError
from deberta_dual import cli
from deberta_dual.backends import installed_versions


@pytest.fixture
def command(monkeypatch):
    """Puts a function in place of `deberta convert`."""

    def put(function):
        monkeypatch.setattr("deberta_dual.commands.convert.main", function)

    return put


def raising(problem):
    def main(argv):
        raise problem

    return main


def test_help_shows_every_command_and_an_example(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out and line in out for name, (_, line) in cli.COMMANDS.items())
    assert "deberta convert my-keras-model" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_table_entries_exist():
    for target, _ in cli.COMMANDS.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_no_command_is_bad_usage(capsys):
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: deberta" in captured.err


def test_unknown_command(capsys):
    assert cli.main(["brew"]) == 2
    known = "convert, export, compile, finetune, evaluate, pretrain, explain, serve, run, inspect"
    assert capsys.readouterr().err == f"deberta: error: command='brew' is unknown. Use one of: {known}.\n"


def test_arguments_and_status_are_passed_on(command):
    seen = []
    command(lambda argv: seen.append(argv) or 1)
    assert cli.main(["convert", "a", "--b"]) == 1
    assert seen == [["a", "--b"]]


def test_arguments_of_the_process(command, monkeypatch):
    command(lambda argv: len(argv))
    monkeypatch.setattr("sys.argv", ["deberta", "convert", "a", "b", "c"])
    assert cli.main() == 3


@pytest.mark.parametrize("problem", [ConfigError("size=3\n  is odd. Use 4."), OSError("size=3 is odd. Use 4.")])
def test_errors_are_one_line(command, capsys, problem):
    command(raising(problem))
    assert cli.main(["convert"]) == 1
    assert capsys.readouterr().err == "deberta: error: size=3 is odd. Use 4.\n"


def test_interrupt_has_no_traceback(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["convert"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_our_own_mistakes_keep_their_traceback(command):
    command(raising(AssertionError("ours")))
    with pytest.raises(AssertionError, match="ours"):
        cli.main(["convert"])


def test_version_names_the_package_and_the_frameworks(capsys):
    assert cli.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"deberta-dual {importlib.metadata.version('deberta-dual')} (")
    assert all(f"{package} {version}" in out for package, version in installed_versions().items())
