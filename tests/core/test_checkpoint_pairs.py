"""Generator and discriminator in one folder: what is read as which table, what is written, what is refused."""

import warnings

import numpy as np
import pytest
import safetensors.numpy

from conformance.suite.compare import assert_close
from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import check_pair, generator_config_of, load_weights, open_weights, read_pair, write_pair
from deberta_core.errors import ConfigError, DebertaWarning, WeightError
from deberta_core.parameters import DELTA_NAMES, expand
from deberta_core.reference import discriminator_tables

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 12}
CONFIG = DebertaV2Config(**SIZES, max_position_embeddings=16, position_biased_input=False)
GENERATOR = generator_config_of(CONFIG)
WORDS, POSITIONS = DELTA_NAMES
TABLES = {WORDS: (20, 8), POSITIONS: (16, 8)}


def arrays(shapes, seed):
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def own_weights(sharing):
    """A generator's and a discriminator's parameters, as `Pair` has them."""
    generator = arrays({n: p.shape for n, p in expand(GENERATOR, "masked_lm").items()}, 0)
    shapes = {n: p.shape for n, p in expand(CONFIG, "replaced_token").items() if n != WORDS}
    names = {"gdes": DELTA_NAMES, "none": dict(zip(TABLES, TABLES, strict=True)), "es": {}}[sharing]
    return generator, arrays(shapes | {names[table]: shape for table, shape in TABLES.items() if table in names}, 1)


@pytest.fixture
def folder(tmp_path):
    def write(sharing="gdes", **options):
        generator, discriminator = own_weights(sharing)
        write_pair(tmp_path, GENERATOR, CONFIG, generator, discriminator, sharing, **options)
        return tmp_path

    return write


def change(folder, changes, without=(), name="model.safetensors"):
    stored = safetensors.numpy.load_file(folder / name)
    kept = {key: value for key, value in stored.items() if key not in without}
    safetensors.numpy.save_file(kept | changes, folder / name)


def quiet_read(folder, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DebertaWarning)
        with read_pair(folder, DebertaV2Config, *arguments, **options) as pair:
            return dict(pair.generator), dict(pair.discriminator), pair


@pytest.mark.parametrize("format", ["safetensors", "bin"])
@pytest.mark.parametrize("keep_delta", [True, False])
@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
def test_what_is_written_is_read(folder, sharing, keep_delta, format):
    path = folder(sharing, keep_delta=keep_delta, format=format)
    expected = own_weights(sharing)
    with read_pair(path, DebertaV2Config) as pair:
        assert pair.embedding_sharing == sharing
        assert pair.generator_config == GENERATOR
        found = dict(pair.generator), dict(pair.discriminator)
    for own, other in zip(found, expected, strict=True):
        assert own.keys() == other.keys()
        for name in own:
            folded = name in DELTA_NAMES.values() and not keep_delta  # a rounded sum less one of its parts
            assert_close(own[name], other[name], quantity="converted" if folded else "exact", name=name)


@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
def test_a_written_discriminator_is_an_ordinary_checkpoint(folder, sharing):
    generator, discriminator = own_weights(sharing)
    tables = discriminator_tables(generator, discriminator)
    path = folder(sharing, keep_delta=sharing == "gdes")
    loaded = load_weights(path, CONFIG, "replaced_token")
    assert np.array_equal(loaded.weights[WORDS], tables[WORDS])
    with open_weights(path, CONFIG) as stored:
        assert np.array_equal(stored[POSITIONS], tables[POSITIONS])
    assert load_weights(path, CONFIG, None).report.dropped


def test_published_forms_of_the_difference(folder):
    """`_weight` is what it says; without it the difference is that of the tables, never the generator's own."""
    path = folder(keep_delta=True)
    generator, discriminator = own_weights("gdes")
    delta = DELTA_NAMES[WORDS]
    change(path, {}, without=[WORDS, POSITIONS])
    assert np.array_equal(quiet_read(path)[1][delta], discriminator[delta])
    change(path, {WORDS: generator[WORDS] + 3}, without=[delta])
    assert_close(quiet_read(path)[1][delta], np.full((20, 8), 3.0), quantity="converted", name="difference")
    assert np.array_equal(quiet_read(path, embedding_sharing="none")[1][WORDS], generator[WORDS] + 3)


def test_tables_that_do_not_agree_are_named(folder):
    path = folder(keep_delta=True)
    with open_weights(path, CONFIG) as stored:
        words = stored[WORDS]
    change(path, {WORDS: words + np.float32(0.5)})
    with pytest.warns(DebertaWarning, match=r"word_embeddings.weight differs from the generator's table plus _weight"):
        read_pair(path, DebertaV2Config).generator.close()
    change(path, {WORDS: words}, without=DELTA_NAMES.values())
    with pytest.warns(DebertaWarning, match=r"differs from the generator's table by up to"):
        read_pair(path, DebertaV2Config, embedding_sharing="es").generator.close()


def test_a_difference_alone_needs_its_generator(folder):
    path = folder(keep_delta=True)
    change(path, {}, without=[WORDS, POSITIONS])
    with pytest.raises(WeightError, match=r"A difference to a generator's table \(_weight\) is no table"):
        read_pair(path, DebertaV2Config, None)


def test_no_generator_is_an_error_and_none_makes_one(folder):
    path = folder()
    (path / "model.generator.safetensors").unlink()
    with pytest.raises(WeightError, match=r"holds no generator: model\.generator\.safetensors or pytorch_model"):
        read_pair(path, DebertaV2Config)
    with pytest.warns(DebertaWarning, match="so one was made: layers 0, 2, 4, .* and a head that starts fresh"):
        pair = read_pair(path, DebertaV2Config, None, seed=0)
    with pair, open_weights(path, CONFIG) as stored:
        assert pair.generator_config == GENERATOR
        assert set(pair.generator) == set(expand(GENERATOR, "masked_lm"))
        for table, delta in DELTA_NAMES.items():
            assert np.array_equal(pair.generator[table], stored[table])
            assert not pair.discriminator[delta].any()
        name = "deberta.encoder.layer.{}.output.dense.weight"
        assert np.array_equal(pair.generator[name.format(1)], stored[name.format(2)])
    head = {n: v for n, v in own_weights("gdes")[0].items() if n.startswith("lm_predictions")}
    change(path, head)
    made = quiet_read(path, None)[0]
    assert all(np.array_equal(made[name], value) for name, value in head.items())


def test_a_generator_in_a_folder_of_its_own(folder, tmp_path):
    path = folder()
    other = tmp_path / "generator"
    other.mkdir()
    for old, new in (("generator_config.json", "config.json"), ("model.generator.safetensors", "model.safetensors")):
        (path / old).rename(other / new)
    generator = quiet_read(path, other)[0]
    assert all(np.array_equal(generator[name], value) for name, value in own_weights("gdes")[0].items())


def test_a_missing_head_starts_fresh_only_if_that_is_said(folder):
    path = folder()
    head = [name for name in own_weights("gdes")[1] if name.startswith("mask_predictions")]
    change(path, {}, without=head)
    with pytest.raises(WeightError, match="pass new_head=True"):
        read_pair(path, DebertaV2Config)
    assert set(head) < set(quiet_read(path, new_head=True, seed=0)[1])


def test_an_older_save_in_another_format_goes(folder):
    path = folder(format="bin")
    folder(format="safetensors")
    assert sorted(file.name for file in path.iterdir()) == [
        *("config.json", "generator_config.json", "model.generator.safetensors", "model.safetensors")
    ]
    with pytest.raises(WeightError, match="format='h5'"):
        folder(format="h5")


@pytest.mark.parametrize(
    ("changes", "sharing", "message"),
    [
        (
            {"hidden_size": 16},
            "gdes",
            "embedding_size or hidden_size=16 and the discriminator 8: the widths of the emb",
        ),
        ({"hidden_size": 16}, "es", "the widths of the embeddings, which are shared, must be the same"),
        ({"max_position_embeddings": 8}, "gdes", "max_position_embeddings=8 and the discriminator 16"),
        (
            {"vocab_size": 21},
            "none",
            "vocab_size=21 and the discriminator 20: the vocabularies must be the same. Give a gen",
        ),
        ({"pad_token_id": 3}, "gdes", "the padding tokens"),
        ({}, "shared", "embedding_sharing='shared'"),
    ],
)
def test_configurations_that_do_not_fit(changes, sharing, message):
    with pytest.raises(ConfigError, match=message):
        check_pair(GENERATOR.replace(**changes), CONFIG, sharing)


def test_what_fits():
    check_pair(GENERATOR.replace(hidden_size=16), CONFIG, "none")
    check_pair(GENERATOR, CONFIG, "es")
    check_pair(GENERATOR, CONFIG, "gdes", decoupled=True)
    with pytest.raises(ConfigError, match="decoupled steps are refused"):
        check_pair(GENERATOR, CONFIG, "es", decoupled=True)


def test_the_generator_of_a_discriminator():
    assert (GENERATOR.num_hidden_layers, GENERATOR.mlm_decoder, GENERATOR.legacy) == (2, "enhanced", False)
    odd = generator_config_of(CONFIG.replace(num_hidden_layers=5, pruned_heads={2: [1], 3: [0]}))
    assert (odd.num_hidden_layers, odd.pruned_heads) == (3, {1: (1,)})
    assert generator_config_of(CONFIG.replace(position_biased_input=True)).mlm_decoder == "plain"
    assert generator_config_of(DebertaConfig(**SIZES)).mlm_decoder == "plain"
