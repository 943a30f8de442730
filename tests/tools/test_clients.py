"""The runner of the clients, with clients of its own, and what is said where packages do not go together."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from tools.clients.__main__ import BEGIN, END, filled, run, scripts, table
from tools.clients.report import report
from tools.clients.resolve import Resolved
from tools.clients.resolve import table as resolve_table

ROOT = Path(__file__).parents[2]
CLIENT = """
import json
ENVIRONMENTS = ("hf4", "keras")
print("for people")
print({"loss": 1.0})
for version in ("2", "1"):
    print(json.dumps({"client": "mine", "version": version, "checks": ["train", "save"]}))
"""


def test_a_client_is_run_and_shown(tmp_path):
    (tmp_path / "mine.py").write_text(CLIENT)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("raise ImportError('a folder of clients hides no package')")
    ((file, names),) = scripts(tmp_path).items()
    assert (file.stem, names) == ("mine", ("hf4", "keras"))
    rows = run(file, Path(sys.executable))
    lines = table([*rows, {"client": "a", "version": "3", "checks": ["x"], "takes": "the bridge"}]).splitlines()
    assert lines[2:] == [
        "| a | 3 | the bridge | x |",
        "| mine | 1 | the model | train; save |",
        "| mine | 2 | the model | train; save |",
    ]
    page = filled(f"Before\n{BEGIN}\nold\n{END}\nAfter\n", rows)
    assert "old" not in page
    assert page.startswith("Before\n")
    assert page.endswith(f"{END}\nAfter\n")
    assert filled(page, rows) == page


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('nothing')"])
def test_a_client_that_fails(tmp_path, code):
    (tmp_path / "mine.py").write_text(f'ENVIRONMENTS = ("hf4",)\n{code}\n')
    with pytest.raises(SystemExit, match="mine failed with"):
        run(tmp_path / "mine.py", Path(sys.executable))


def test_a_client_without_environments(tmp_path):
    (tmp_path / "mine.py").write_text("import torch\n")
    with pytest.raises(SystemExit, match=r"mine\.py does not say where it runs"):
        scripts(tmp_path)


def test_what_a_client_reports(capsys):
    report("mine", ["It trains."], takes="the bridge", package="pytest")
    row = json.loads(capsys.readouterr().out)
    assert row == {"client": "mine", "version": pytest.__version__, "takes": "the bridge", "checks": ["It trains"]}


def test_every_client_names_environments_that_there_are():
    there = {file.stem for file in (ROOT / "tools" / "clients" / "requirements").glob("*.txt")}
    assert all(names and there.issuperset(names) for names in scripts().values())


def test_what_does_not_resolve_is_said():
    rows = [
        Resolved("a>=1", {"torch": "2.13.0", "numpy": "2.4.6", "other": "1"}),
        Resolved("bb", {}, "no such version"),
    ]
    assert resolve_table(rows).splitlines() == [
        "a>=1  numpy 2.4.6, torch 2.13.0",
        "bb    DOES NOT RESOLVE: no such version",
    ]


def test_the_oldest_versions_are_those_of_the_package():
    """What `make test-oldest` installs is what pyproject.toml says, to the digit it says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ranges = dict(one.split(">=") for one in [*project["dependencies"], *extras["torch"], *extras["tf"]])
    lines = (ROOT / "tools" / "oldest" / "requirements.txt").read_text().splitlines()
    oldest = dict(line.replace("tensorflow-cpu", "tensorflow").split("==") for line in lines if "==" in line)
    for name, least in ranges.items():
        assert f"{oldest[name]}.".startswith(f"{least}."), name
