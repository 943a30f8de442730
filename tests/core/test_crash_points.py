"""Saves that are killed, or run out of room, at each of their calls: wholly old or wholly new, and nothing is left.

The points of each save are printed (`pytest -s`).
"""

import errno
from functools import partial

import pytest

from deberta_core import DebertaV2Config
from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import FORMATS, load_config, load_weights, save_weights
from tests.crash_points import stop_everywhere

STOPS = {"killed": None, "disk full": errno.ENOSPC, "read-only": errno.EROFS, "one call fails": errno.EIO}
PLACES = {"exchange": {}, "journal": {"exchange": False}, "inside": {"inside": True}}
# One point in so many, where not all are tried.
EVERY = {("exchange", "killed"): 3, ("journal", "killed"): 5, ("exchange", "disk full"): 7}


def cases(slow=True):
    for place in PLACES:
        for stop in STOPS:
            if every := EVERY.get((place, stop)):
                yield pytest.param(place, stop, every, id=f"{place}, {stop}")
            yield pytest.param(place, stop, 1, id=f"{place}, {stop}, all points", marks=pytest.mark.slow)


everywhere = pytest.mark.parametrize(("place", "stop", "every"), [*cases()])


@pytest.fixture
def check(tmp_path, place, stop, every, request):
    def run(old, save, load):
        points = stop_everywhere(tmp_path / "x", old, save, load, STOPS[stop], every=every, **PLACES[place])
        print(f"{request.node.name}: {points} points")

    return run


@everywhere
def test_config(tmp_path, small_config, check):
    small_config.replace(hidden_act="relu").save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "notes.txt").write_text("mine")

    def load(folder):
        return DebertaV2Config.from_pretrained(folder), notes(folder)

    check(tmp_path / "old", small_config.save_pretrained, load)
    check(None, small_config.save_pretrained, load)


def notes(folder):
    return (folder / "notes.txt").exists()


def load_tokenizer(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return type(tokenizer), tokenizer("THE river <new>")["input_ids"], len(tokenizer), notes(folder)


@everywhere
def test_tokenizer(tmp_path, small_tokenizer, small_fast_tokenizer, check):
    small_fast_tokenizer.save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "notes.txt").write_text("mine")
    tokenizer = type(small_tokenizer)(str(tmp_path / "old" / "spm.model"), do_lower_case=True)
    tokenizer.add_tokens(["<new>"])
    check(tmp_path / "old", tokenizer.save_pretrained, load_tokenizer)


def load_numbers(folder):
    config = load_config(None, folder, None)
    with load_weights(folder, config, None) as loaded:
        numbers = {name: array.tobytes() for name, array in loaded.weights.items()}
    return config.hidden_act, numbers, notes(folder)


SIZES = {"one file": None, "shards": 4000, "many shards": 2000}


@everywhere
@pytest.mark.parametrize("after", SIZES)
@pytest.mark.parametrize("before", SIZES)
def test_model(tmp_path, small_config, random_weights, check, before, after):
    weights, other = random_weights(small_config, None), small_config.replace(hidden_act="relu")
    save = partial(save_weights, config=small_config, task=None, weights=weights, with_config=True)
    older = {name: array + 1 for name, array in weights.items()}
    save_weights(tmp_path / "old", other, None, older, max_shard_size=SIZES[before], with_config=True)
    (tmp_path / "old" / "notes.txt").write_text("mine")
    check(tmp_path / "old", partial(save, max_shard_size=SIZES[after]), load_numbers)


@pytest.mark.parametrize(("place", "stop", "every"), [("exchange", "killed", 25)])
@pytest.mark.parametrize("format", FORMATS)
def test_formats(tmp_path, small_config, random_weights, check, format):
    weights = random_weights(small_config, None)
    save = partial(save_weights, config=small_config, task=None, format=format, with_config=True)
    save(tmp_path / "old", weights={name: array + 1 for name, array in weights.items()})
    check(tmp_path / "old", partial(save, weights=weights), load_numbers)
