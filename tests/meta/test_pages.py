"""What the pages name: files of the repository, and the decisions of `docs/decisions.md`, which code cites too."""

import re

import pytest

# What stands in code letters and is to be a file or folder of the repository, with its whole path.
PATH = re.compile(r"`((?:conformance|deberta_\w+|docs|tests|tools)/[\w./-]*|[\w./-]+\.py)`")
DECISION = re.compile(r"\bD\d{1,2}\b")
SECTION = re.compile(r"^## (D\d+)\. .+\n\n(?P<text>(?:(?!^## ).*\n)*)", re.MULTILINE)
WHOLE_PATHS = ("README.md", "CONTRIBUTING.md", "docs/design.md", "docs/decisions.md", "docs/finetuning.md")
# What a newcomer asks first, and a file of the answer.
ANSWERS = {
    "Where is an activation defined?": "activations.py",
    "Where is a head's loss?": "losses.py",
    "Where does the `tf_model.h5` name of a weight come from?": "deberta_core/parameters.py",
    "Where does `deberta run` read its input": "deberta_dual/data/formats.py",
}


@pytest.fixture(scope="module")
def pages(files, root):
    return {
        file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in files if file.suffix == ".md"
    }


@pytest.fixture(scope="module")
def decisions(pages):
    return {match[1]: match["text"] for match in SECTION.finditer(pages["docs/decisions.md"])}


def missing_paths(text, root):
    return [path for path in PATH.findall(text) if not (root / path).exists()]


@pytest.mark.parametrize("name", WHOLE_PATHS)
def test_every_file_that_is_named_exists(name, pages, root):
    assert PATH.search(pages[name])
    assert not missing_paths(pages[name], root)


def test_a_missing_file_is_found(root):
    text = "`deberta_core/nowhere.py` `deberta_core/tasks.py` `docs/nothing/` `config.json` `nowhere.py`"
    assert missing_paths(text, root) == ["deberta_core/nowhere.py", "docs/nothing/", "nowhere.py"]


@pytest.mark.parametrize("name", ["README.md", "docs/design.md"])
def test_a_newcomers_questions_have_their_answers(name, pages):
    rows = [line for line in pages[name].splitlines() if line.startswith("| Where")]
    for question, file in ANSWERS.items():
        assert len([row for row in rows if row.startswith(f"| {question}") and file in row]) == 1, question


def test_decisions_are_numbered_and_have_their_reasons(decisions):
    assert list(decisions) == [f"D{number}" for number in range(1, len(decisions) + 1)]
    for number, text in decisions.items():
        assert text.count("*Why:*") == text.count("*Rejected:*") == 1, number


def test_every_decision_that_is_cited_exists(pages, python_files, decisions):
    cited = {(name, number) for name, text in (pages | python_files).items() for number in DECISION.findall(text)}
    assert cited
    assert not sorted((name, number) for name, number in cited if number not in decisions)
