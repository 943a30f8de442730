"""What the benchmarks share."""

from tools.benchmark.timing import interleaved, machine, ratio


def test_subjects_take_turns_and_medians_are_taken():
    measured = []

    def seconds(subject):
        measured.append(subject)
        warmup = len(measured) <= 2
        return 1000.0 if warmup else {"a": 1.0, "b": 2.0}[subject] * len(measured)

    medians = interleaved(["a", "b"], seconds, rounds=3)
    assert measured == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert medians == {"a": 5.0, "b": 2.0 * 6}


def test_a_ratio_says_how_many_times_as_fast_ours_is():
    assert ratio(theirs=3.0, ours=2.0) == "1.50x"


def test_the_machine_is_named():
    assert "cores; Python 3." in machine(["numpy"])
    assert machine({"transformers": "4.57.1"}).endswith("transformers 4.57.1")
