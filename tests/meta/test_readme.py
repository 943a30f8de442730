"""The snippets of README and of the pages of `docs/` run, page by page and in order, as a reader would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from deberta_core import DebertaV2Config
from deberta_core.checkpoint import save_weights

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TESTED = "<!-- tested -->"  # on the line before a shell block that is run
ANOTHER = "<!-- another library -->"  # before a Python block that shows another library's code; all others are run
# Before any other block: why no test runs it.
NOT_RUN = re.compile(r"<!-- not run here: [^\n]{8,} -->")
OUTPUT = "<!-- output -->"  # before what the block above prints; its "…" stands for digits that machines differ in
FENCE = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh"}
FIRST_SCREEN = 60  # lines
FIRST_LOOK = 10  # lines of a snippet there, at most
# Hub ids that blocks which run may name, each with its classes: a server of the tests has a tiny checkpoint for it.
PUBLISHED = {"cross-encoder/nli-deberta-v3-xsmall": ("contradiction", "entailment", "neutral")}


class Block(NamedTuple):
    """A block of a page that runs, and what the page says it prints, if it says so."""

    language: str
    code: str
    output: str | None = None


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def runnable_blocks(text: str) -> list[Block]:
    blocks, last = [], 0  # where the last of them ends
    for match in FENCE.finditer(text):
        language, before = match["language"], match["before"].strip()
        is_shown = before == ANOTHER or NOT_RUN.fullmatch(before)
        if (language == "python" and not is_shown) or (language == "sh" and before == TESTED):
            blocks.append(Block(language, match["code"]))
            last = match.end()
        elif language == "text" and before == OUTPUT and blocks and not text[last : match.start()].strip():
            blocks[-1] = blocks[-1]._replace(output=match["code"])
    return blocks


def test_first_screen_has_the_two_commands_and_four_usages(readme):
    first = "\n".join(readme.splitlines()[:FIRST_SCREEN])
    assert first.count("```") % 2 == 0, "a snippet goes beyond the first screen"
    assert first.index("make demo") < first.index("make test") < first.index("from deberta_torch import")
    torch, keras, fresh, command = (block.code for block in runnable_blocks(first))
    for code, package in ((torch, "deberta_torch"), (keras, "deberta_tf")):
        assert f"from {package} import" in code
        assert any(f'"{name}"' in code for name in PUBLISHED)
    assert "model.fit(" in fresh
    assert not any(name in fresh + command for name in PUBLISHED), "this one needs no network"
    assert command.startswith("deberta convert")
    for code in (torch, keras, fresh, command):
        assert code.count("\n") <= FIRST_LOOK, f"too long for a first look:\n{code}"


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def page(request):
    return request.param.read_text(encoding="utf-8")


def test_every_fence_is_known(page):
    assert page.count("```") == 2 * len(FENCE.findall(page))
    languages, blocks = [match["language"] for match in FENCE.finditer(page)], runnable_blocks(page)
    assert set(languages) <= {*LANGUAGES, "text", "yaml"}
    assert page.count(TESTED) == sum(block.language == "sh" for block in blocks)
    outputs = [block for block in blocks if block.output is not None]
    assert page.count(OUTPUT) == languages.count("text") == len(outputs), "an output follows the block that prints it"


def test_every_block_runs_or_says_why_not(page):
    marks = (TESTED, ANOTHER, OUTPUT)
    silent = [
        match["code"]
        for match in FENCE.finditer(page)
        if match["language"] != "python" and match["before"].strip() not in marks and not says_why(match)
    ]
    assert not silent, "run it (<!-- tested -->), or say why not: <!-- not run here: the reason -->"
    assert page.count("<!-- not run here") == sum(map(says_why, FENCE.finditer(page)))


def says_why(match: re.Match[str]) -> bool:
    return NOT_RUN.fullmatch(match["before"].strip()) is not None


def test_yaml_can_be_read(page):
    for code in (match["code"] for match in FENCE.finditer(page) if match["language"] == "yaml"):
        assert pytest.importorskip("yaml").safe_load(code)


def test_what_is_not_run_is_another_librarys(page):
    others = [match["code"] for match in FENCE.finditer(page) if match["before"].strip() == ANOTHER]
    assert page.count(ANOTHER) == len(others)
    for code in (match["code"] for match in FENCE.finditer(page) if match["language"] == "python"):
        compile(code, "page", "exec")
    for code in others:
        assert not re.search(r"^(from|import) deberta_", code, re.MULTILINE), "a block of ours is to be run"


@pytest.fixture
def hub(hub_server, monkeypatch, tmp_path_factory, small_tokenizer, random_weights):
    """The hub for the process that runs a page: one with tiny checkpoints under the names that pages give."""
    for name, classes in PUBLISHED.items():
        folder, task = tmp_path_factory.mktemp("published"), "sequence_classification"
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
        config = DebertaV2Config.preset(
            "deberta-v3-xsmall", **sizes, vocab_size=len(small_tokenizer), id2label=dict(enumerate(classes))
        )
        config.save_pretrained(folder)
        small_tokenizer.save_pretrained(folder)
        save_weights(folder, config, task, random_weights(config, task))
        hub_server.publish(name, folder)
    monkeypatch.setenv("HF_ENDPOINT", hub_server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])))
    return hub_server


def test_snippets_run(page, hub, run_page):
    blocks = runnable_blocks(page)
    if not blocks:
        pytest.skip("nothing to run")
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    named = any(name in block.code for block in blocks for name in PUBLISHED)
    status, printed = run_page(blocks, fresh=named)
    assert status == 0, printed
    assert ("verified" in printed) == any("--verify" in block.code for block in blocks)
    assert ("GET", "model.safetensors", None) in hub.log if named else not hub.log


def test_both_frameworks_answer_alike_from_the_hub(readme, hub, run_page):
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    blocks = [block for block in runnable_blocks(readme) if any(name in block.code for name in PUBLISHED)]
    status, printed = run_page(blocks, fresh=True)
    assert status == 0, printed
    answers = re.findall(rf"^({'|'.join(sum(PUBLISHED.values(), ()))})$", printed, re.MULTILINE)
    assert len(blocks) == len(answers) == 2
    assert answers[0] == answers[1]


def test_readme_shows_both_languages(readme):
    assert {block.language for block in runnable_blocks(readme)} == LANGUAGES


BROKEN_PAGES = {
    "python": [Block("python", "a = 1"), Block("python", "assert a == 2")],
    "shell": [Block("sh", "false")],
    "command": [Block("sh", "deberta inspect nowhere")],
    "output of python": [Block("python", "print('a')", "b\n")],
    "output of a shell": [Block("sh", "echo a | cat", "a\nb\n")],
    "output of a command": [Block("sh", "deberta --help", "usage: another\n")],
    "no digits": [Block("python", "print('score: high')", "score: …\n")],
    "no output": [Block("python", "a = 1", "1\n")],
}


@pytest.mark.parametrize("blocks", BROKEN_PAGES.values(), ids=BROKEN_PAGES)
def test_a_broken_page_fails(blocks, run_page):
    assert run_page(blocks)[0] == 1


def test_outputs_belong_to_the_block_above(run_page):
    page = (
        "\n```python\nprint('score:', 0.5678)\n```\n\n<!-- output -->\n```text\nscore: 0.5…\n```\n"
        "<!-- tested -->\n```sh\necho a | cat\n```\n\nIt says:\n\n<!-- output -->\n```text\nb\n```\n"
    )
    blocks = runnable_blocks(page)
    assert [block.output for block in blocks] == ["score: 0.5…\n", None]
    status, printed = run_page(blocks)
    assert status == 0, printed
    assert "score: 0.5678\n" in printed


def test_the_support_table_is_up_to_date():
    script = ROOT / "tools" / "page_tables.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0
