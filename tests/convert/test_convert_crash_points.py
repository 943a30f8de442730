"""A conversion that is killed, or runs out of room, at each of its calls."""

import errno

import pytest

from conformance.convert.convert import Options, convert
from deberta_core.checkpoint import load_config, load_weights, save_weights
from tests.crash_points import stop_everywhere

CASES = [
    pytest.param(None, {}, 31, id="killed"),
    pytest.param(errno.ENOSPC, {}, 31, id="disk full"),
    *(
        pytest.param(error, place, 1, id=f"{error}, {place}", marks=pytest.mark.slow)
        for error in (None, errno.ENOSPC, errno.EROFS, errno.EIO)
        for place in ({}, {"exchange": False}, {"inside": True})
    ),
]


@pytest.mark.parametrize(("error", "place", "every"), CASES)
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("size", [None, 3000], ids=["one file", "shards"])
def test_convert(tmp_path, small_config, random_weights, error, place, every, exists, size, request):
    weights = random_weights(small_config, None)
    save_weights(tmp_path / "source", small_config, None, weights, with_config=True)
    for name in ("README.md", "tokenizer_config.json", "1_Pooling/config.json"):
        (tmp_path / "source" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text("{}")
    old = {name: array + 1 for name, array in weights.items()}
    save_weights(tmp_path / "old", small_config.replace(hidden_act="relu"), None, old, "h5", 4000, with_config=True)

    def save(folder):
        options = Options(max_shard_size=size)
        # What was killed after its end is done again over itself.
        return convert(tmp_path / "source", folder, "bin", force=folder.exists(), options=options)

    points = stop_everywhere(
        tmp_path / "x", tmp_path / "old" if exists else None, save, load, error, every=every, **place
    )
    print(f"{request.node.name}: {points} points")


def load(folder):
    config = load_config(None, folder, None)
    with load_weights(folder, config, None) as loaded:
        numbers = {name: array.tobytes() for name, array in loaded.weights.items()}
    return config.hidden_act, numbers, sorted(path.name for path in folder.iterdir() if path.suffix in (".json", ".md"))
