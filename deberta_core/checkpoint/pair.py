"""A generator and the discriminator trained with it (NUMERICS 8): their configurations, and their files in a folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deberta_core.checkpoint.formats import FORMATS, GENERATOR_FILES, open_weights
from deberta_core.checkpoint.lazy import Entry
from deberta_core.checkpoint.load import load_weights
from deberta_core.checkpoint.model_config import load_config
from deberta_core.checkpoint.save import save_weights
from deberta_core.config import BaseConfig
from deberta_core.config_place import GENERATOR_CONFIG
from deberta_core.errors import ConfigError, DebertaWarning, WeightError, one_of
from deberta_core.files import write_text
from deberta_core.parameters import DELTA_NAMES, Array, expand
from deberta_core.transaction import replace_files

EMBEDDING_SHARINGS = ("gdes", "es", "none")
WORDS, POSITIONS = DELTA_NAMES
GENERATOR_NAMES = (*GENERATOR_FILES, GENERATOR_CONFIG)
_SHARED_SIZES = ("vocab_size", "embedding_width", "max_position_embeddings")
_FAR = 1e-2  # published files are half precision, and one step apart
_LAYER = re.compile(r"(?<=encoder\.layer\.)\d+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models' parameters by name, in PyTorch's layout and in float32.

    Attributes:
        generator: those of masked LM; without what starts fresh.
        discriminator: those of replaced-token detection. Under "gdes" the word table is the difference to the
            generator's, under "es" zeros.
        position_delta: the difference of the position tables `[P, E]`, which a discriminator that adds no positions
            does not read; None without a table.
    """

    generator: Mapping[str, Array]
    discriminator: Mapping[str, Array]
    position_delta: Array | None = None


def generator_config(config: BaseConfig) -> BaseConfig:
    """The configuration of a discriminator's generator: every second layer, and the enhanced decoder where it fits."""
    half = config.replace(num_hidden_layers=-(-config.num_hidden_layers // 2), legacy=False)
    return half.replace(mlm_decoder="enhanced") if half.can_enhance_decoder else half


def check_pair(config: BaseConfig, generator: BaseConfig, embedding_sharing: str) -> None:
    """Refuses two configurations that cannot be trained together.

    Raises:
        ConfigError: an unknown way to share, or the sizes of the tables differ; each is named.
    """
    if embedding_sharing not in EMBEDDING_SHARINGS:
        raise ConfigError(one_of("embedding_sharing", embedding_sharing, EMBEDDING_SHARINGS))
    names = _SHARED_SIZES[:1] if embedding_sharing == "none" else _SHARED_SIZES
    found = [
        f"{name} is {a} and {b}" for name in names if (a := getattr(config, name)) != (b := getattr(generator, name))
    ]
    if found:
        raise ConfigError(
            f"discriminator and generator have tables of different sizes: {', '.join(found)}. With embedding_sharing="
            f"{embedding_sharing!r} they must agree: change one configuration."
        )
    if config.model_type != generator.model_type:
        raise ConfigError(f"the discriminator is a {config.model_type}, and the generator a {generator.model_type}.")


def find_generator(folder: Path) -> Path | None:
    """The weights of the generator in a folder; None if it has none."""
    return next((folder / name for name in GENERATOR_FILES if (folder / name).is_file()), None)


def load_generator_config(config: BaseConfig, folder: Path) -> BaseConfig:
    """The configuration of the generator in a folder, or of the one that is made of the discriminator alone."""
    file = find_generator(folder)
    if file is None or not (folder / GENERATOR_CONFIG).is_file():
        return generator_config(config)
    return load_config(type(config), file, "masked_lm")


def load_pair(folder: Path, config: BaseConfig, generator: BaseConfig, embedding_sharing: str) -> Pair:
    """Reads both models; without a generator's file one is made of the discriminator, with a warning.

    Args:
        folder: holds the discriminator's weights, and those of the generator.
        config: the discriminator's configuration.
        generator: the generator's.
        embedding_sharing: "gdes", "es" or "none".

    Raises:
        ConfigError: see `check_pair`.
        WeightError: see `load_weights`.
    """
    check_pair(config, generator, embedding_sharing)
    file = find_generator(folder)
    with ExitStack() as stack:
        source = stack.enter_context(open_weights(folder, config))
        if file is None:
            generated = _made_generator(folder, config, generator)
        else:
            loaded = stack.enter_context(load_weights(file, generator, "masked_lm"))
            generated = {name: _float32(array) for name, array in loaded.weights.items()}
        base = generated.get(POSITIONS)
        deltas = {name: _delta(source, name, generated.get(name)) for name in DELTA_NAMES}
        delta = deltas[WORDS]
        if WORDS not in source and delta is not None and file is not None:
            table = generated[WORDS] + delta
            entry = Entry(DELTA_NAMES[WORDS], table.shape, table.dtype, lambda rows: table[rows])
            source = source.replaced({**source.entries, WORDS: entry})
        judge = load_weights(source, config, "replaced_token", new_head=file is None)
        discriminator = {name: _float32(array) for name, array in judge.weights.items()}
    if embedding_sharing == "none":
        return Pair(generated, discriminator)
    for name in DELTA_NAMES:
        if name in discriminator:
            shared = deltas[name] if embedding_sharing == "gdes" else None
            discriminator[name] = np.zeros_like(discriminator[name]) if shared is None else shared
    return Pair(generated, discriminator, deltas[POSITIONS] if base is not None else None)


def save_pair(
    folder: str | Path,
    config: BaseConfig,
    generator: BaseConfig,
    pair: Pair,
    embedding_sharing: str,
    format: str = "safetensors",
    max_shard_size: int | str | None = None,
    *,
    keep_delta: bool = False,
) -> None:
    """Writes both models into a folder, the discriminator as an ordinary model: its tables are the sums.

    Args:
        folder: where to; older files of both are replaced as one.
        config: the discriminator's configuration.
        generator: the generator's.
        pair: the parameters of both.
        embedding_sharing: how they share the tables.
        format: "safetensors" or "bin".
        max_shard_size: of the discriminator's files; see `save_weights`.
        keep_delta: under "gdes" also write the differences, as Microsoft's trainer does.

    Raises:
        WeightError: another format, or the folder cannot be written, and is as it was.
    """
    names = [name for name in FORMATS if name in ("safetensors", "bin")]
    if format not in names:
        raise WeightError(
            f"{one_of('format', format, names)} Another holds one model: save generator or discriminator."
        )
    row, weights = FORMATS[format], dict(pair.discriminator)
    if embedding_sharing != "none":
        differences = {WORDS: weights[WORDS], POSITIONS: weights.get(POSITIONS, pair.position_delta)}
        for name, delta in differences.items():
            if name in pair.generator:
                weights[name] = pair.generator[name] if delta is None else pair.generator[name] + delta
            if keep_delta and embedding_sharing == "gdes" and delta is not None:
                weights[DELTA_NAMES[name]] = delta
    with replace_files(folder, WeightError, stale=lambda _: GENERATOR_NAMES) as staging:
        save_weights(
            staging, config, "replaced_token", weights, format, max_shard_size, with_config=True, own_names=True
        )
        row.write(staging / GENERATOR_FILES[names.index(format)], generator, "masked_lm", pair.generator)
        write_text(staging / GENERATOR_CONFIG, generator.to_json_string(use_diff=False))


def _delta(source: Mapping[str, Array], name: str, base: Array | None) -> Array | None:
    """What is to be added to the generator's table: as the file says, else the difference of both tables."""
    stored = DELTA_NAMES[name]
    if base is None or not (stored in source or name in source):
        return None
    if stored not in source:
        return _float32(source[name]) - base
    delta = _float32(source[stored])
    if name in source and (off := float(np.abs(source[name] - (base + delta)).max(initial=0.0))) > _FAR:
        warnings.warn(
            f"{name} differs by up to {off:.3g} from the generator's table and {stored}, whose sum it should be. The "
            f"sum is used: are the two files of one training?",
            DebertaWarning,
            stacklevel=4,
        )
    return delta


def _made_generator(folder: Path, config: BaseConfig, generator: BaseConfig) -> dict[str, Array]:
    """Every second layer of the discriminator, its tables, and its masked-LM head where it has one."""
    whole = generator.replace(num_hidden_layers=config.num_hidden_layers, pruned_heads=config.pruned_heads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DebertaWarning)  # that it is a discriminator
        loaded = load_weights(folder, whole, "masked_lm", new_head=True)
    with loaded:
        sources = {
            name: _LAYER.sub(lambda number: str(2 * int(number[0])), name) for name in expand(generator, "masked_lm")
        }
        made = {name: _float32(loaded.weights[old]) for name, old in sources.items() if old in loaded.weights}
    fresh = [name for name in sources if name not in made]
    warnings.warn(
        f"{folder} has no generator ({' or '.join(GENERATOR_FILES)}). One is made of every second layer of the "
        f"discriminator and its tables"
        + (f"; {len(fresh)} parameters of its head and decoder start fresh." if fresh else "."),
        DebertaWarning,
        stacklevel=4,
    )
    return made


def _float32(array: Array) -> Array:
    return np.asarray(array, dtype=np.float32)
