"""What the benchmarks share."""

import pytest

from tools.benchmark import timing
from tools.benchmark.timing import features, interleaved, machine, ratio, samples, spread


def test_subjects_take_turns_and_medians_are_taken():
    measured = []

    def seconds(subject):
        measured.append(subject)
        warmup = len(measured) <= 2
        return 1000.0 if warmup else {"a": 1.0, "b": 2.0}[subject] * len(measured)

    medians = interleaved(["a", "b"], seconds, rounds=3)
    assert measured == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert medians == {"a": 5.0, "b": 2.0 * 6}


def test_samples_keep_the_rounds_apart():
    times = iter([1.0, 2.0, 3.0, 4.0])
    assert samples(["a", "b"], lambda _: next(times), rounds=2, warmups=0) == {"a": [1.0, 4.0], "b": [2.0, 3.0]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0, 1.0, 2.0, 5.0, 4.0], (2.0, 3.0, 4.0)), ([1.0, 2.0], (1.25, 1.5, 1.75)), ([7.0], (7.0, 7.0, 7.0))],
)
def test_spread_is_the_median_and_the_quartiles(values, expected):
    assert tuple(spread("x", values)[name] for name in ("x_low", "x", "x_high")) == expected


def test_a_ratio_says_how_many_times_as_fast_ours_is():
    assert ratio(theirs=3.0, ours=2.0) == "1.50x"


def test_the_machine_is_named():
    assert "cores; Python 3." in machine(["numpy"])
    assert machine({"transformers": "4.57.1"}).endswith("transformers 4.57.1")


def test_the_processors_features_are_named(monkeypatch, tmp_path):
    lines = "model name\t: Some CPU\nflags\t\t: fpu avx2 amx_bf16\nmodel name\t: Some CPU\nflags\t\t: fpu avx2\n"
    monkeypatch.setattr(timing, "CPUINFO", tmp_path / "cpuinfo")
    assert features() == []
    (tmp_path / "cpuinfo").write_text(lines, encoding="utf-8")
    assert features() == ["AVX2", "AMX bfloat16"]
    assert machine({}).startswith("Some CPU, ")
