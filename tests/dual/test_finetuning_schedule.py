"""Which examples a step learns from, and how fast."""

from itertools import chain

import numpy as np
import pytest

from deberta_core import DebertaConfig, DebertaV2Config, InputError
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import expand
from deberta_dual.finetuning import TrainingOptions
from deberta_dual.finetuning.rates import is_decayed, layer_share, parameter_rates, rate_at
from deberta_dual.finetuning.schedule import SORTED_TOGETHER, Schedule, token_count


def make(number, *, batch_size=4, accumulation=1, epochs=2, seed=0, length=lambda n: 1 + n % 7, count=lambda f: 1):
    features = [{"input_ids": [n] * length(n), "number": n} for n in range(number)]

    def collate(rows):
        return {"number": np.array([row["number"] for row in rows])}

    settings = {"batch_size": batch_size, "accumulation": accumulation, "epochs": epochs, "seed": seed}
    return Schedule(features, collate, count, **settings)


def epoch(schedule, number=0, **process):
    first = number * schedule.steps_per_epoch
    return [
        np.concatenate(schedule.parts(first + step, **process)).tolist() for step in range(schedule.steps_per_epoch)
    ]


@pytest.mark.parametrize("number", [1, 3, 4, 5, 130, 400])
def test_every_example_once_an_epoch(number):
    schedule = make(number)
    assert schedule.steps == 2 * schedule.steps_per_epoch == 2 * -(-number // 4)
    for which in (0, 1):
        steps = epoch(schedule, which)
        assert sorted(chain(*steps)) == list(range(number))
        assert [len(step) for step in steps[:-1]] == [4] * (len(steps) - 1)
        assert len(steps[-1]) == schedule.examples(schedule.steps_per_epoch - 1) == (number % 4 or 4)


def test_the_order_depends_on_seed_and_epoch_alone():
    assert epoch(make(50)) == epoch(make(50))
    assert epoch(make(50), 1) != epoch(make(50), 0)
    assert epoch(make(50, seed=1)) != epoch(make(50))
    ahead = make(50)
    last = [ahead.parts(step) for step in (25, 0, 25)]
    assert np.array_equal(last[0], last[2])  # in any order of asking
    assert np.array_equal(last[1], make(50).parts(0))


def test_similar_lengths_come_together_in_random_order():
    number = 4 * SORTED_TOGETHER
    schedule = make(number, length=lambda n: 1 + n)
    steps = epoch(schedule)
    assert all(max(step) - min(step) == 3 for step in steps)  # one window, so sorted completely
    firsts = [min(step) for step in steps]
    assert firsts != sorted(firsts)


def test_windows_are_not_sorted_together():
    schedule = make(8 * SORTED_TOGETHER, length=lambda n: 1 + n)
    assert any(max(step) - min(step) > 3 for step in epoch(schedule))


@pytest.mark.parametrize("number", [1, 2, 5, 16, 19])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_pieces_are_a_step(number, processes, accumulation):
    """Whatever processes and pieces there are: the same examples, shares that add up to 1, and equally many pieces."""
    whole = make(number, batch_size=8, count=lambda row: row["number"] % 3)
    parted = make(number, batch_size=8, accumulation=accumulation, count=lambda row: row["number"] % 3)
    for step in range(whole.steps):
        (reference,) = whole.pieces(step)
        expected = reference.batch["number"].tolist()
        pieces = [list(parted.pieces(step, process, processes)) for process in range(processes)]
        assert {len(own) for own in pieces} == {accumulation}
        flat = list(chain(*pieces))
        seen = [number for piece in flat if piece.tokens for number in piece.batch["number"]]
        assert sorted(seen) == sorted(expected)
        assert sum(piece.share for piece in flat) == pytest.approx(float(any(n % 3 for n in expected)))
        assert sum(piece.tokens for piece in flat) == reference.tokens == sum(1 + n % 7 for n in expected)
        assert all(piece.share == 0 and len(piece.batch["number"]) == 1 for piece in flat if not piece.tokens)


def test_a_share_is_that_of_labels():
    schedule = make(4, accumulation=2, epochs=1, count=lambda row: row["number"])
    for piece in schedule.pieces(0):
        assert piece.share == pytest.approx(piece.batch["number"].sum() / 6)


@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_rows_are_those_of_the_batches(accumulation):
    """Also of an example that stands in for an empty piece."""
    rows = [{"input_ids": [1], "number": number, "rows": 1 + number % 3} for number in range(9)]
    schedule = Schedule(
        rows,
        lambda features: {"rows": np.array([one["rows"] for one in features])},
        lambda feature: 1,
        batch_size=4,
        accumulation=accumulation,
        epochs=1,
        seed=0,
        rows=lambda feature: feature["rows"],
    )
    for step in range(schedule.steps):
        assert schedule.rows(step) == [int(piece.batch["rows"].sum()) for piece in schedule.pieces(step)]


def test_tokens_of_choices():
    assert token_count({"input_ids": [1, 2, 3]}) == 3
    assert token_count({"input_ids": [[1, 2, 3], [1, 2]]}) == 5
    assert token_count({"input_ids": []}) == 0


def test_rate():
    rates = [rate_at(step, 10, 1.0, 0.2) for step in range(10)]
    assert rates == pytest.approx([1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_rate_at_the_limits():
    assert [rate_at(step, 4, 0.5, 0.0) for step in range(4)] == pytest.approx([0.5, 0.375, 0.25, 0.125])
    assert [rate_at(step, 4, 1.0, 1.0) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert rate_at(0, 1, 1.0, 0.1) == 1.0


def test_layers():
    below = "deberta.encoder.layer.{}.attention.output.dense.weight"
    assert layer_share("classifier.weight", 12, 0.5) == layer_share("pooler.dense.bias", 12, 0.5) == 1
    assert layer_share(below.format(11), 12, 0.5) == 0.5
    assert layer_share(below.format(0), 12, 0.5) == 0.5**12
    for name in ("embeddings.word_embeddings", "encoder.rel_embeddings", "encoder.conv.conv"):
        assert layer_share(f"deberta.{name}.weight", 12, 0.5) == 0.5**13


@pytest.mark.parametrize("cls", [DebertaConfig, DebertaV2Config])
def test_every_parameter_has_its_rates(cls):
    config = cls(vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8)
    parameters = expand(config, "sequence_classification")
    rates = parameter_rates(parameters, config, 0.9, 0.01)
    assert list(rates) == list(parameters)
    for name, (share, decay) in rates.items():
        assert 0.9**3 <= share <= 1
        assert decay == (0.01 if is_decayed(parameters[name]) else 0), name
        assert is_decayed(parameters[name]) != (name.endswith("bias") or "LayerNorm" in name), name


def test_a_backbone_alone_has_the_rates_of_one_below_a_head(small_config):
    alone = parameter_rates(expand(small_config, None), small_config, 0.5, 0.01)
    below = parameter_rates(expand(small_config, "token_classification"), small_config, 0.5, 0.01)
    assert alone == {name: below[f"deberta.{name}"] for name in alone}
    assert max(share for share, _ in alone.values()) == 0.5


def test_frozen_layers_have_no_rates(small_config):
    """Nor has what lies below them, of a backbone alone too."""
    for task, prefix in (("token_classification", "deberta."), (None, "")):
        parameters = expand(small_config, task)
        found = parameter_rates(parameters, small_config, 0.5, 0.01, frozen_layers=1)
        above = (f"{prefix}encoder.layer.1.", "classifier.")
        assert [*found] == [name for name in parameters if name.startswith(above)]
        rates = parameter_rates(parameters, small_config, 0.5, 0.01)
        assert found == {name: rates[name] for name in found}


WRONG = {
    "epochs": (0, "epochs=0 is not allowed. Give an int of 1 or more"),
    "batch_size": (2.0, "batch_size=2.0 is not allowed"),
    "accumulation": (17, "accumulation=17 is more than batch_size=16. Lower it"),
    "learning_rate": (float("nan"), "learning_rate=nan is not allowed. Give a number from 0 to 1"),
    "warmup": (1.5, "warmup=1.5"),
    "weight_decay": (-0.1, "weight_decay=-0.1"),
    "layer_decay": ("1", "layer_decay='1'"),
    "clip": (0, "clip=0 is not allowed. Give a number above 0, or None"),
    "dtype": ("int8", "dtype='int8' is unknown. Use one of: float32, bfloat16"),
    "seed": (2**32, "seed=4294967296 is more than"),
    "evaluate_every": (0, "evaluate_every=0 .* or None for an epoch"),
    "patience": (True, "patience=True .* or None for no early stopping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_are_checked(name):
    value, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        TrainingOptions(**{name: value})


def test_a_clip_that_is_no_number():
    with pytest.raises(InputError, match="clip='1' is not allowed"):
        TrainingOptions(clip="1")


def test_fresh_parameters(small_config):
    task = "sequence_classification"
    parameters = expand(small_config, task)
    arrays = draw_parameters(small_config, task, parameters, 3)
    assert list(arrays) == list(parameters)
    for name, array in arrays.items():
        assert (array.shape, array.dtype) == (parameters[name].shape, np.float32)
        if array.ndim == 1:
            assert np.unique(array).tolist() == [1.0 if name.endswith("LayerNorm.weight") else 0.0], name
    words = arrays["deberta.embeddings.word_embeddings.weight"]
    assert not words[small_config.pad_token_id].any()
    rest = np.delete(words, small_config.pad_token_id, axis=0)
    assert 0.9 < rest.std() / small_config.initializer_range < 1.1


def test_the_same_seed_draws_the_same(small_config):
    head = ["classifier.weight"]
    first, again, other = (
        draw_parameters(small_config, "sequence_classification", head, seed)["classifier.weight"] for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert list(draw_parameters(small_config, "sequence_classification", [], 3)) == []
