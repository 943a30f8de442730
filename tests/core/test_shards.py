"""Checkpoints in several files, as transformers writes them, and indexes that lead astray."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from deberta_core import AutoConfig
from deberta_core.checkpoint import FORMATS, load_weights, open_weights, save_weights
from deberta_core.checkpoint.shards import shard_size, split
from deberta_core.errors import InputError, WeightError

TASK = "sequence_classification"
SHARDED = [name for name, row in FORMATS.items() if row.write_part]


@pytest.fixture(params=SHARDED)
def folder(request, tmp_path, small_config, random_weights):
    save_weights(tmp_path, small_config, TASK, random_weights(small_config, TASK), request.param, max_shard_size="3KB")
    return tmp_path


def index_of(folder):
    return next(folder.glob("*.index.json"))


def rewrite(folder, change):
    index = index_of(folder)
    content = json.loads(index.read_text())
    change(content)
    index.write_text(json.dumps(content))


@pytest.mark.parametrize("golden", ["v1-base", "v2-v3-style"])
def test_goldens(shared, golden):
    folder = shared / "goldens" / golden
    config = AutoConfig.from_pretrained(folder)
    with open_weights(folder / "sharded", config) as parts, open_weights(folder, config) as whole:
        assert parts.file.name == "model.safetensors.index.json"
        assert sorted(parts) == sorted(whole)
        assert all(np.array_equal(parts[name], array) for name, array in whole.items())


def test_the_index_is_transformers_own(shared, tmp_path):
    folder = shared / "goldens" / "v2-v3-style"
    config = AutoConfig.from_pretrained(folder)
    theirs = json.loads((folder / "sharded" / "model.safetensors.index.json").read_text())
    with open_weights(folder, config) as weights:
        index = save_weights(tmp_path, config, None, weights, max_shard_size=20_000)
    ours = json.loads(index.read_text())
    assert ours["weight_map"].keys() == theirs["weight_map"].keys()
    assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    assert ours.keys() == theirs.keys()


def test_round_trip(folder, small_config, random_weights):
    parts = [file for file in folder.iterdir() if file.suffix != ".json"]
    total = len(parts)
    assert total > 3
    assert {file.name.split("-", 1)[1].split(".")[0] for file in parts} == {
        f"{number:05d}-of-{total:05d}" for number in range(1, total + 1)
    }
    with load_weights(folder, small_config, TASK) as loaded:
        assert not loaded.report.missing
        for name, array in random_weights(small_config, TASK).items():
            assert np.array_equal(loaded.weights[name], array), name
    by_index = load_weights(index_of(folder), small_config, TASK)
    assert by_index.report == loaded.report


def test_parts_are_as_large_as_allowed(small_config, random_weights):
    weights = random_weights(small_config, None)
    for limit in (1, 3000, 10**9):
        groups = split(weights, limit)
        assert [name for group in groups for name in group] == list(weights)
        sizes = [[weights[name].nbytes for name in group] for group in groups]
        assert all(sum(group) <= limit or len(group) == 1 for group in sizes)
        assert all(sum(group) + following[0] > limit for group, following in pairwise(sizes))
    assert len(split(weights, 10**9)) == 1


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5 * 10**9), ("1.5 kb", 1500), ("2MiB", 2 << 20), (7, 7), ("12B", 12), ("1GiB", 1 << 30)]
)
def test_sizes(text, size):
    assert shard_size(text) == size


@pytest.mark.parametrize("text", ["5", "GB", "-1GB", "0B", 0, -3, 1.5, True, "5 TB", None])
def test_sizes_that_are_none(text):
    with pytest.raises(InputError, match=r"max_shard_size=.* is no size\. Give a number of bytes"):
        shard_size(text)


def test_keras_weights_are_one_file(tmp_path, small_config, random_weights):
    weights = random_weights(small_config, None)
    with pytest.raises(WeightError, match="The format keras is one file, so max_shard_size=1KB cannot be kept"):
        save_weights(tmp_path / "a", small_config, None, weights, "keras", max_shard_size="1KB")
    assert not (tmp_path / "a").exists()
    save_weights(tmp_path / "a", small_config, None, weights, "keras", max_shard_size="1GB")


# Indexes that lead astray


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/passwd", "a/b.bin", "..", "", "a\\b", "a\0b"])
def test_places_outside_the_folder(folder, small_config, place):
    rewrite(folder, lambda content: content["weight_map"].update(x=place))
    with pytest.raises(WeightError, match=r"index\.json names files outside its folder"):
        open_weights(folder, small_config)


def test_links_out_of_the_folder(folder, small_config, tmp_path_factory):
    part = next(file for file in folder.iterdir() if file.suffix != ".json")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / part.name
    shutil.move(part, elsewhere)
    part.symlink_to(elsewhere)
    with pytest.raises(WeightError, match=r"index\.json names files outside its folder"):
        open_weights(folder, small_config)


def test_links_of_a_download_cache(folder, small_config, tmp_path_factory):
    """There every file of a snapshot is a link into the folder of blobs beside it."""
    cache = tmp_path_factory.mktemp("models--someone--model")
    (cache / "blobs").mkdir()
    snapshot = cache / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copyfile(file, cache / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    with open_weights(snapshot, small_config) as weights:
        assert len(weights) > 10


def test_a_missing_part_is_named(folder, small_config):
    part = next(file for file in folder.iterdir() if file.suffix != ".json")
    part.unlink()
    with pytest.raises(WeightError, match=rf"names files that are not there: {part.name}\. Download them too"):
        open_weights(folder, small_config)


def test_a_name_in_two_parts(folder, small_config):
    first, second = sorted(file for file in folder.iterdir() if file.suffix != ".json")[:2]
    shutil.copyfile(first, second)
    with pytest.raises(WeightError, match=r"index\.json is truncated, damaged.*: several of its files hold"):
        open_weights(folder, small_config)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weight_map": 1}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "{"]
)
def test_an_index_that_is_none(folder, small_config, content):
    index_of(folder).write_text(content)
    with pytest.raises(
        WeightError,
        match=r"weight_map\S* in \S+index\.json is not|index\.json (has (no|an empty) weight_map|holds|cannot)",
    ):
        open_weights(folder, small_config)
