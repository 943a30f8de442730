"""The snippets of README and of the pages of `docs/` run, page by page and in order, as a reader would type them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TESTED = "<!-- tested -->"  # on the line before a shell block that is run; Python blocks always are
FENCE = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh"}
FIRST_SCREEN = 60  # lines

# One process runs a page; `namespace` is what the reader's interpreter would hold.
DRIVER = """
import json, subprocess, sys
namespace = {"__name__": "__main__"}
for language, code in json.loads(sys.argv[1]):
    print("---", code, flush=True)
    if language == "python":
        exec(compile(code, "page", "exec"), namespace)
    else:
        subprocess.run(code, shell=True, check=True)
"""


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def runnable_blocks(text: str) -> list[tuple[str, str]]:
    blocks = []
    for match in FENCE.finditer(text):
        language = match["language"]
        if language == "python" or (language == "sh" and match["before"].strip() == TESTED):
            blocks.append((language, match["code"]))
    return blocks


def test_first_screen_has_the_two_commands_and_three_usages(readme):
    lines = readme.splitlines()
    first = "\n".join(lines[:FIRST_SCREEN])
    assert first.index("make demo") < first.index("make test") < first.index("from deberta_torch import")
    assert first.index("from deberta_torch import") < first.index("model.fit(") < first.index("deberta convert")
    for _, code in runnable_blocks(first + "\n```" * (first.count("```") % 2)):
        assert code.count("\n") < 10, f"too long for a first look:\n{code}"


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def page(request):
    return request.param.read_text(encoding="utf-8")


def test_every_fence_is_known(page):
    assert page.count("```") == 2 * len(FENCE.findall(page))
    assert {match["language"] for match in FENCE.finditer(page)} <= LANGUAGES
    assert page.count(TESTED) == sum(language == "sh" for language, _ in runnable_blocks(page))


def test_snippets_run(page, run_python, tmp_path):
    blocks = runnable_blocks(page)
    if not blocks:
        pytest.skip("nothing to run")
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    done = run_python(DRIVER, json.dumps(blocks), folder=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert ("verified" in done.stdout) == any("--verify" in code for _, code in blocks)


def test_readme_shows_both_languages(readme):
    assert {language for language, _ in runnable_blocks(readme)} == LANGUAGES


def test_a_broken_snippet_fails(run_python, tmp_path):
    for blocks in ([("python", "a = 1"), ("python", "assert a == 2")], [("sh", "false")]):
        assert run_python(DRIVER, json.dumps(blocks), folder=tmp_path).returncode != 0


def test_the_support_table_is_up_to_date():
    script = ROOT / "tools" / "support_table.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0
