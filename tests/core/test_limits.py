"""What small files and arguments may cost: every bound of the table refuses its bomb before memory or time is taken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deberta_core import DebertaV2Config
from deberta_core.errors import ConfigError, InputError
from deberta_core.limits import LIMITS, bound, check, raised
from tests.core.bombs import BOMBS


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each bomb, and the seconds; all in one process, as the imports take longer than they do."""
    command = [sys.executable, "-m", "tests.core.run_bombs", str(tmp_path_factory.mktemp("bombs"))]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=1800, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return {name: (said, seconds) for name, said, seconds in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(outcomes, name, record_property):
    said, seconds = outcomes[name]
    record_property("seconds", seconds)
    assert said.startswith("refused: "), f"{said} after {seconds} s"


def test_every_bound_has_a_bomb():
    assert {row for row, *_ in BOMBS.values()} == LIMITS.keys()


def test_a_bound_is_named_with_its_reason_and_a_way_to_raise_it():
    with pytest.raises(InputError) as caught:
        check("heads", 10**5000, "It has", InputError)
    for part in ("at most 4096 are allowed", LIMITS["heads"].why, "deberta_core.limits.raised(heads=...)"):
        assert part in str(caught.value)


def test_a_bound_is_raised_by_an_argument():
    with raised(heads=8192), raised(width=1 << 20):
        assert DebertaV2Config(hidden_size=8192, num_attention_heads=8192).num_attention_heads == 8192
        assert bound("width") == 1 << 20
    assert bound("heads") == 4096
    with pytest.raises(ConfigError, match="num_attention_heads=8192 is not allowed"):
        DebertaV2Config(hidden_size=8192, num_attention_heads=8192)


@pytest.mark.parametrize(
    ("bounds", "message"), [({"head": 1}, "limit='head' is unknown"), ({"heads": "9"}, "no int|an int")]
)
def test_bounds_that_are_none(bounds, message):
    with pytest.raises(InputError, match=message), raised(**bounds):
        pass


def test_published_sizes_are_far_from_the_bounds():
    largest = DebertaV2Config.preset("deberta-v2-xxlarge")
    sizes = {
        "layers": largest.num_hidden_layers,
        "heads": largest.num_attention_heads,
        "width": largest.intermediate_size,
        "distance": largest.max_distance,
        "vocabulary": 251_000,  # of mDeBERTa
    }
    assert all(8 * size <= LIMITS[row].most for row, size in sizes.items())
