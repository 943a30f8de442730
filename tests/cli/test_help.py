"""What `--help` says: every option is in a group, with what it is and its default."""

import argparse
import importlib

import pytest

from deberta_dual.cli import COMMANDS, main


def parser_of(command):
    return importlib.import_module(COMMANDS[command][0].split(":")[0]).make_parser()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is_and_its_default(command):
    for action in parser_of(command)._actions:
        name = "/".join(action.option_strings) or action.dest
        assert action.help, name
        takes_a_value = action.option_strings and action.nargs != 0
        if takes_a_value and not action.required:
            assert "default: " in action.help, f"{command} {name}: {action.help}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_default_that_is_told_is_the_one_that_is_used(command):
    for action in parser_of(command)._actions:
        if isinstance(action.default, int | str) and action.nargs != 0 and action.default is not argparse.SUPPRESS:
            assert f"default: {action.default}" in action.help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: deberta {command} ")
    assert "examples:" in out
    assert max(map(len, out.splitlines())) <= 120
