"""The claims of the section that has every way side by side, and cells that are measured anew."""

import pytest

from deberta_dual.compiling.candidates import GOALS
from tools.benchmark import winners
from tools.benchmark.__main__ import merged
from tools.benchmark.sections import exports, side_by_side


def row(subject, cell, seconds, exact=True, error=1e-6, **more):
    ratios = {"ratio": 1 / seconds, "ratio_low": 1 / seconds, "ratio_high": 1 / seconds}
    made = {"group": "v3-base", "cell": cell, "subject": subject, "seconds": seconds, "exact": exact, **ratios}
    texts = int(cell.partition(" ")[0])
    return {**made, "difference": error, "texts": texts, "baseline": "transformers 4", **more}


@pytest.fixture
def rows():
    return [
        row("transformers 4", "1 × 16", 1.0),
        row("OpenVINO", "1 × 16", 0.5),
        row("OpenVINO, bfloat16", "1 × 16", 0.3, False, 0.02),
        row("transformers 4, bfloat16", "1 × 16", 0.01, False, 0.2),  # too coarse to count
        row("ours, optimized", "1 × 16", 0.4),
        row("ours, graph in OpenVINO, bfloat16", "1 × 16", 0.25, False, 0.02),
        row("ours, graph in ONNX Runtime, int8", "1 × 16", 0.2, False, 0.05),
        row("ours, compile()", "1 × 16", 0.255, note="openvino bfloat16"),
        row("transformers 4", "8 × 32", 1.0),
        row("ours, optimized", "8 × 32", 2.08),
        row("ours, graph in ONNX Runtime", "8 × 32", 2.0),
        row("ours, compile()", "8 × 32", 2.2, note="torch float32"),
    ]


def test_claims(rows):
    assert list(winners.sentences(rows)) == [
        "In float32, the best of ours is first in 1 of 2 cells (not at 8 × 32 (0.50)), 0.50 to 1.25 times as fast as "
        "the best of the others.",
        "In float32 without a fixed shape, the best of ours is first in 1 of 2 cells (not at 8 × 32 (0.50)), 0.50 to "
        "1.25 times as fast as the best of the others.",
        "In any precision, the best of ours is first in 1 of 2 cells (not at 8 × 32 (0.50)), 0.50 to 1.50 times as "
        "fast as the best of the others.",
        "At one text the best of ours is at least 1.50 times as fast as the best of the others in any precision; 1.2 "
        "is reached.",
        "What `compile()` chose is, by its own line, within 5% of the best of the candidates in 2 of 2 cells; the "
        "farthest is 4% at 8 × 32.",
        "The line of `compile()`, which measures the same once more, is within 5% of the best of the candidates in 1 "
        "of 2 cells; the farthest is 10% at 8 × 32.",
    ]


def test_a_claim_turns_round_with_the_rows(rows):
    rows[6]["ratio"] = rows[5]["ratio"] = 1 / 0.35
    said = list(winners.sentences(rows))
    assert "not at 1 × 16 (0.86), 8 × 32 (0.50)" in said[2]
    assert "1.2 is not reached" in said[3]


def test_what_slows_the_machine_down_for_a_while_decides_nothing(rows):
    rows[1]["seconds"] = rows[2]["seconds"] = 0.001
    assert list(winners.sentences(rows))[2].startswith("In any precision, the best of ours is first in 1 of 2 cells")


def test_a_fixed_shape_is_compared_with_one(rows):
    rows.append(row("OpenVINO, fixed shape", "1 × 16", 0.36))
    rows.append(row("ours, graph in OpenVINO, fixed shape, bfloat16", "1 × 16", 0.1, False, 0.02))
    said = list(winners.sentences(rows))
    assert "not at 1 × 16 (0.90), 8 × 32 (0.50)" in said[0]
    assert "first in 1 of 2 cells (not at 8 × 32 (0.50)), 0.50 to 1.25" in said[1]
    assert "within 5% of the best of the candidates in 2 of 2 cells" in said[4]  # which have no fixed shape


def test_a_choice_that_is_not_the_best_is_told(rows):
    rows[-2]["ratio"] = 1 / 1.5
    said = list(winners.sentences(rows))[4]
    assert said.endswith("in 1 of 2 cells; the farthest is 39% at 8 × 32.")


def test_the_first_of_each_cell_is_bold(rows):
    table = list(winners.body(rows))[1].splitlines()
    assert "| ours, optimized | **2.50** | 0.48 |" in table
    assert "| ours, graph in ONNX Runtime, int8 | **5.00** | – |" in table
    assert "| transformers 4, bfloat16 | 100.00 | – |" in table


def section(**more):
    same = dict.fromkeys(("machine", "features", "routes", "threads", "versions", "rounds", "facts"), "x")
    left_out = [{"cell": "v3-base, 1 × 16", "subject": "ours", "reason": "old"}]
    return {**same, "rows": [], "left_out": left_out, **more}


def test_cells_measured_anew_take_the_place_of_their_own_alone(rows):
    known = section(rows=rows)
    anew = section(rows=[row("ours", "1 × 16", 9.0)], left_out=[])
    found = merged(known, anew)
    assert [one["seconds"] for one in found["rows"] if one["cell"] == "1 × 16"] == [9.0]
    assert [one["subject"] for one in found["rows"] if one["cell"] == "8 × 32"] == [
        "transformers 4",
        "ours, optimized",
        "ours, graph in ONNX Runtime",
        "ours, compile()",
    ]
    assert found["left_out"] == []
    assert merged(known, {**anew, "machine": "another"})["rows"] == anew["rows"]
    assert merged(None, anew) == anew


@pytest.mark.parametrize(
    ("shape", "goal"),
    [((1, 16), "latency"), ((1, 512), "latency"), ((8, 128), "throughput"), ((2, 512), "long-texts")],
)
def test_the_goal_of_a_cell_is_what_a_user_would_name(shape, goal):
    from tools.benchmark.workers.ours_graphs import goal_of

    assert goal_of(*shape) == goal
    assert goal in GOALS


def test_subjects_are_told_apart():
    for subjects in (side_by_side.SUBJECTS, exports.WRITERS, exports.READERS):
        assert len({subject.name for subject in subjects}) == len(subjects)
    written = {subject.options["target"] for subject in exports.WRITERS}
    assert {subject.options.get("target") for subject in exports.READERS} - {None} <= written
