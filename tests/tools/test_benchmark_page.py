"""The page about performance, from numbers made up and from those in the repository."""

import copy
import json
from pathlib import Path

import pytest

from tools.benchmark import claims, tables
from tools.benchmark.__main__ import IMAGES, JSON, PAGE, keep, parse
from tools.benchmark.claims import COMPARISONS, LIMITS, MEMORY, PROCESSOR, sentences
from tools.benchmark.figures import draw, figures
from tools.benchmark.page import SECTIONS, page
from tools.benchmark.sections import (
    exports,
    inference,
    keras_models,
    loading,
    mixed_lengths,
    pretraining,
    streaming,
    training,
    transformers_optimized,
)

DOCS = Path(__file__).parents[2] / "docs"
BASELINE = "transformers 4"
SUBJECTS = {
    "inference": {subject.name for subject in inference.SUBJECTS},
    "transformers_optimized": {subject.name for subject in transformers_optimized.SUBJECTS},
    "exports": {subject.name for subject in (*exports.WRITERS, *exports.READERS)},
    "mixed_lengths": {subject.name for subject in mixed_lengths.SUBJECTS},
    "training": {subject.name for subject in training.SUBJECTS},
    "pretraining": {subject.name for subject in pretraining.SUBJECTS},
    "keras_models": {subject.name for subjects, *_ in keras_models.TABLES.values() for subject in subjects},
    "loading": {subject.name for subject in loading.SUBJECTS},
    "streaming": set(streaming.SUBJECTS),
}


def row(subject, cell, seconds, ratio, group="v3-base", **more):
    quartiles = {"ratio_low": ratio * 0.9, "ratio_high": ratio * 1.1} if subject != BASELINE else {}
    made = {"ratio": ratio, "ratio_low": ratio, "ratio_high": ratio, **quartiles, "baseline": BASELINE, **more}
    return {"group": group, "cell": cell, "subject": subject, "seconds": seconds, **made}


@pytest.fixture
def data():
    """Two cells, in one of which ours loses to OpenVINO."""
    rows = [
        row(BASELINE, "1 × 16", 0.1, 1.0, memory=300.0, layers=12),
        row("OpenVINO", "1 × 16", 0.01, 10.0, memory=200.0, difference=1e-6, layers=12),
        row("ours, optimized", "1 × 16", 0.0125, 8.0, memory=90.0, difference=2e-6, layers=12),
        row("linear layers alone", "1 × 16", 0.01, 10.0, layers=12),
        row(BASELINE, "8 × 128", 0.4, 1.0, memory=1000.0, layers=4),
        row("OpenVINO", "8 × 128", 0.2, 2.0, memory=2000.0, difference=3e-6, layers=4),
        row("ours, optimized", "8 × 128", 0.16, 2.5, memory=500.0, difference=1e-6, layers=4),
    ]
    left_out = [{"cell": "v3-base, 8 × 128", "subject": "ONNX Runtime", "reason": "no environment was given"}]
    machine = {"machine": "Some CPU, 2 cores", "features": ["AVX2"], "versions": {"ours": {"torch": "2.13"}}}
    found = {**machine, "rounds": 7, "facts": {}, "rows": rows, "left_out": left_out}
    return {"sections": {"inference": found}}


def test_the_page_in_the_repository_is_made_of_its_json():
    data = json.loads((DOCS / JSON).read_text(encoding="utf-8"))
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page(data)
    drawn = {name for _, _, name, _ in figures(data)}
    assert drawn == {file.name for file in (DOCS / IMAGES).glob("performance-*.png")}


def test_claims_follow_the_rows(data):
    rows = data["sections"]["inference"]["rows"]
    assert sentences("inference", rows) == [
        "**ours, optimized** is 2.50 to 8.00 times as fast as **transformers 4**.",
        "**ours, optimized** is faster in 1 of 2 cells, at most 1.25 times as fast as **OpenVINO**; it loses at "
        "1 × 16 (0.80).",
        "**ours, optimized** reaches 0.80 of the speed of the linear layers alone.",
        "**ours, optimized** takes 0.30 to 0.50 of the memory of **transformers 4**.",
    ]


def test_processor_time_is_compared(data):
    used = {"the model alone": 200.0, "deberta run": 210.0}
    rows = [
        row(name, "2,000 lines", seconds, 1.0, baseline="the model alone", processor=seconds)
        for name, seconds in used.items()
    ]
    assert sentences("streaming", rows)[1:] == [
        "**deberta run** takes 1.05 of the processor time of **the model alone** (2,000 lines)."
    ]
    assert "| deberta run | 210,000.0 | 1.00 | 0.90 to 1.10 | 210,000.0 |" in tables.down(rows)


def test_a_claim_turns_round_with_the_rows(data):
    rows = data["sections"]["inference"]["rows"]
    for found in rows:
        found["seconds"] *= 100 if found["subject"] == "ours, optimized" else 1
    assert sentences("inference", rows)[0].startswith("**ours, optimized** is slower, 0.03 to 0.08 times as fast as")


def test_what_was_not_measured_is_not_claimed(data):
    only = [found for found in data["sections"]["inference"]["rows"] if found["subject"] == "ours, optimized"]
    assert sentences("inference", only) == []
    assert claims.spread([found for found in only if found["subject"] == BASELINE]) == ""


def test_spread_is_told(data):
    told = claims.spread(data["sections"]["inference"]["rows"])
    assert "within 10% of its ratio for the typical subject, within 10% for the worst" in told


def test_every_name_that_is_compared_is_measured():
    for section, pairs in COMPARISONS.items():
        more = (*MEMORY.get(section, ()), *PROCESSOR.get(section, ()))
        named = set(pairs).union(*pairs.values()) | {name for pair in more for name in pair}
        assert named <= SUBJECTS[section]
    assert {*LIMITS, *LIMITS.values()} <= SUBJECTS["inference"]


def test_the_page_shows_what_was_measured_and_what_was_not(data):
    text = page(data)
    assert "Some CPU, 2 cores; AVX2; 7 rounds." in text
    assert "* this library: torch 2.13" in text
    assert "* not there: transformers 5 with PyTorch" in text
    assert "Layers: 12 at 1 × 16; 4 at 8 × 128." in text
    assert "| transformers 4 | 100.0 ms | 400.0 ms |" in text
    assert "| ours, optimized | 8.00 | 2.50 |" in text
    assert "| linear layers alone | 10.00 | – |" in text
    assert "| ours, optimized | 90 | 500 |" in text
    assert "| ours, optimized | 2.0e-06 |" in text
    assert "![inference, v3-base](images/performance-inference-v3-base.png)" in text
    assert "* ONNX Runtime (v3-base, 8 × 128): no environment was given" in text
    assert "\n\n\n" not in text


def test_a_single_cell_shows_everything_in_one_table(data):
    rows = [found for found in data["sections"]["inference"]["rows"] if found["cell"] == "1 × 16"]
    assert tables.down(rows).splitlines()[2:5] == [
        "| transformers 4 | 100.0 | – | – | 300 | – |",
        "| OpenVINO | 10.0 | 10.00 | 9.00 to 11.00 | 200 | 1.0e-06 |",
        "| ours, optimized | 12.5 | 8.00 | 7.20 to 8.80 | 90 | 2.0e-06 |",
    ]


def test_of_one_round_no_spread_is_told(data):
    section = data["sections"]["inference"]
    section["rows"] = [
        {**found, "ratio_low": found["ratio"], "ratio_high": found["ratio"]}
        for found in section["rows"]
        if found["cell"] == "1 × 16"
    ]
    section["rounds"], section["left_out"] = 1, []
    text = page(data)
    assert "AVX2; 1 round." in text
    assert "of the rounds" not in text.partition("## How it was measured")[0]
    assert "not there" not in text


def test_what_another_processor_measured_is_kept(data):
    before = data["sections"]["inference"]
    newer = copy.deepcopy(before) | {"features": ["AVX-512"], "rounds": 3}
    keep(data, "inference", newer)
    assert data == {"sections": {"inference": newer}, "elsewhere": {"inference": [before]}}
    text = page(data)
    assert (
        "### Inference, as last measured on another processor\n\nSome CPU, 2 cores; AVX2; 7 rounds. Layers: 12" in text
    )
    assert text.count("**ours, optimized** is 2.50 to 8.00 times as fast as **transformers 4**.") == 2
    again = copy.deepcopy(before) | {"rounds": 5}
    keep(data, "inference", again)
    assert data == {"sections": {"inference": again}, "elsewhere": {"inference": [newer]}}


def test_of_another_processor_without_claims_nothing_is_said(data):
    keep(data, "inference", copy.deepcopy(data["sections"]["inference"]) | {"features": ["AVX-512"]})
    data["elsewhere"]["inference"][0]["rows"] = []
    assert "another processor" not in page(data).partition("## How it was measured")[0]


def test_without_a_baseline_times_are_shown(data):
    section = data["sections"]["inference"]
    section["rows"] = [
        {name: value for name, value in found.items() if not name.startswith(("ratio", "baseline"))}
        for found in section["rows"]
        if found["subject"] == "ours, optimized"
    ]
    assert "| ours, optimized | 12.5 ms | 160.0 ms |" in page(data)
    assert list(figures(data)) == []


def test_tables_of_tokenization_and_conversion(data):
    other = copy.deepcopy(data["sections"]["inference"]) | {"left_out": []}
    conversion = {"what": "safetensors -> h5", "seconds": 1.5, "copies": 3.0, "memory": 181.0}
    facts = {"preset": "deberta-v3-base", "size": 0.74, "copy": 0.5, "same": True}
    data["sections"]["conversion"] = {**other, "facts": facts, "rows": [conversion]}
    names = ("DebertaTokenizer", "DebertaTokenizerFast", "DebertaV2Tokenizer", "DebertaV2TokenizerFast")
    seconds = {"deberta_core": 1.0, "transformers": 2.0}
    tokenization = [
        {"library": library, "class": name, "mode": mode, "seconds": second, "tokens": 100}
        for library, second in seconds.items()
        for name in names
        for mode in ("batch", "single")
    ]
    data["sections"]["tokenization"] = {**other, "facts": {"count": 5, "characters": 1200}, "rows": tokenization}
    text = page(data)
    assert "| safetensors -> h5 | 1.50 | 3.0 | 181 |" in text
    assert "A random deberta-v3-base of 0.74 GB" in text
    assert "bit for bit those that left" in text
    facts["same"] = False
    assert "NOT those that left" in page(data)
    assert "| DebertaV2Tokenizer | batch | 100 | 2.00x | 2.00x |" in text
    assert "5 lines of text, 1,200 characters" in text


def test_plots_are_drawn(data, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [row(name, "128 texts", 1.0, ratio) for name, ratio in ((BASELINE, 1.0), ("ours", 2.0))]
    data["sections"]["loading"] = {**data["sections"]["inference"], "rows": rows}
    files = draw(data, tmp_path)
    assert [file.name for file in files] == ["performance-inference-v3-base.png", "performance-loading-v3-base.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_a_page_without_numbers_says_so():
    assert "Nothing has been measured yet." in page({"sections": {}})


def test_options(monkeypatch):
    monkeypatch.setenv("BENCHMARK_KERAS_HUB", "there/python")
    monkeypatch.delenv("BENCHMARK_TRANSFORMERS4", raising=False)
    found = parse([])
    assert (found.keras_hub, found.transformers4, found.rounds, found.layers) == ("there/python", None, 7, None)
    assert found.sections == list(SECTIONS)
    assert found.output.name == "docs"
    quick = parse(["--quick"])
    assert quick.output.name != "docs"
    assert quick.layers == 1


def test_the_ways_that_were_timed_are_listed(data):
    assert "ways of ours" not in page(data)  # of measurements that did not note them
    data["sections"]["inference"]["routes"] = {"packed weights": True, "8-bit weights": False, "one head": True}
    shown = page(data)
    assert "* ways of ours that were timed: packed weights, one head\n" in shown
    assert "* ways not taken on this processor: 8-bit weights\n" in shown
