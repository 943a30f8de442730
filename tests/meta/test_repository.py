"""What must not get into the repository, and what must agree in it."""

import re
import tomllib

# The pattern does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.}])/(home|root|work|tmp|Users)(?![\w-])")
UNFINISHED = re.compile(r"\bTO[D]O\b|\bFIX[M]E\b|\bXX[X]\b")


def found_in(text: str, pattern: re.Pattern[str]) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def texts(files, root):
    for file in files:
        content = file.read_bytes()
        if b"\0" not in content:
            yield file.relative_to(root).as_posix(), content.decode("utf-8")


def test_no_machine_paths(files, root):
    wrong = [f"{name}:{line}" for name, text in texts(files, root) for line in found_in(text, MACHINE_PATH)]
    assert not wrong


def test_nothing_unfinished(files, root):
    wrong = [f"{name}:{line}" for name, text in texts(files, root) for line in found_in(text, UNFINISHED)]
    assert not wrong


def test_patterns_match():
    assert found_in("x\ncd /" + "home/me/x", MACHINE_PATH) == [2]
    assert found_in('open("/' + 'tmp/x")', MACHINE_PATH) == [1]
    assert found_in("frame/work and a/tmp/b", MACHINE_PATH) == []
    assert found_in("# TO" + "DO: later", UNFINISHED) == [1]


def test_version_is_the_newest_of_the_changelog(root):
    """Or, before there is a heading for it, the one that it says is to come."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    coming = re.findall(r"^The version to come is ([\d.]+\d)\b", text, re.MULTILINE)
    assert [*coming, *(name for name, _ in headings[1:])][0] == version
    assert all(date for _, date in headings[1:])


def test_the_changelog_keeps_its_form(root):
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # those of keepachangelog.com
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert "keepachangelog.com" in text


def test_links_between_documents_lead_somewhere(files, root):
    wrong = []
    for file in files:
        if file.suffix == ".md":
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8")):
                if "://" not in target and not (file.parent / target).exists():
                    wrong.append(f"{file.relative_to(root)}: {target}")
    assert not wrong
