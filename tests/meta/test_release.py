"""What a release needs besides the code: its files are whole, and say the same."""

import re
import tomllib

import pytest

yaml = pytest.importorskip("yaml")  # of the extra `docs`


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(file):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version(root, project):
    citation = read(root / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_forms_of_issues_are_whole(root):
    forms = {file.stem: read(file) for file in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
    assert forms.pop("config") == {"blank_issues_enabled": True}
    assert len(forms) == 3
    for form in forms.values():
        assert {"name", "description", "body"} <= form.keys()
        names = [part["id"] for part in form["body"]]
        assert len(names) == len(set(names))
        assert all(part["attributes"]["label"] for part in form["body"])


def test_the_workflow_publishes_what_was_checked_without_a_secret(root):
    file = root / ".github" / "workflows" / "release.yml"
    text, jobs = file.read_text(encoding="utf-8"), read(file)["jobs"]
    assert "secrets." not in text
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    assert jobs["publish"]["needs"] == "build"
    assert any(step.get("run") == "make release-check" for step in jobs["build"]["steps"])
    targets = set(re.findall(r"\bmake ([\w-]+)", text))
    assert targets <= set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_extras_that_are_named_exist(root, project):
    """In pages, and in the messages of errors."""
    extras = project["optional-dependencies"]
    pages = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "deberta_dual").rglob("*.py")]
    named = {
        extra
        for page in pages
        for group in re.findall(r"deberta-dual\[([\w,-]+)\]", page.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    assert named
    assert named <= extras.keys()


def test_the_image_is_built_of_what_is_there(root, project):
    """No Docker builds it here: what it copies is there, is all that the wheel needs, and what it runs is a command."""
    lines = (root / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert all((root / name).exists() for name in copied)
    wheel = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert {*wheel["packages"], "pyproject.toml", project["readme"], "constraints.txt"} <= {*copied}
    (run,) = (line for line in lines if "pip install" in line)
    (extras,) = re.findall(r"\"\.\[([\w,]+)\]\"", run)
    assert {*extras.split(",")} <= project["optional-dependencies"].keys()
    assert f"FROM python:{project['requires-python'].removeprefix('>=')}-slim" in lines
    assert next(line for line in lines if line.startswith("ENTRYPOINT")).startswith('ENTRYPOINT ["deberta", "serve"')
    assert "USER deberta" in lines
