"""A generator and the discriminator it was pretrained with: both read from, and written to, one folder (NUMERICS 8).

The discriminator is an ordinary checkpoint; beside it lie the generator's weights and its `generator_config.json`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from deberta_core.checkpoint.formats import FORMATS, GENERATOR_FILES, open_weights
from deberta_core.checkpoint.lazy import Entry, LazyWeights, row_slices
from deberta_core.checkpoint.load import LoadedWeights, canonical_names, load_weights, match_weights, refuse_problems
from deberta_core.checkpoint.model_config import load_config
from deberta_core.config import BaseConfig
from deberta_core.config_place import GENERATOR_CONFIG
from deberta_core.errors import ConfigError, DebertaWarning, WeightError, one_of
from deberta_core.files import write_text
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import DELTA_NAMES, Array, expand
from deberta_core.transaction import replace_files

SHARINGS = ("gdes", "es", "none")
BESIDE = "beside"  # where the generator is, unless it is told: beside the discriminator
_TASKS = {"generator": "masked_lm", "discriminator": "replaced_token"}
_SHARING = "embedding_sharing"  # in the discriminator's config.json
_WORDS, _POSITIONS = DELTA_NAMES
# Files written with half precision and one update between the two tables differ by less.
_AGREEMENT = 1e-2
_FLOAT = np.dtype(np.float32)


def check_pair(
    generator: BaseConfig, discriminator: BaseConfig, embedding_sharing: str, decoupled: bool = False
) -> None:
    """Refuses configurations that cannot be trained together.

    Args:
        generator: of the generator.
        discriminator: of the discriminator.
        embedding_sharing: a name of `SHARINGS`.
        decoupled: whether each model has a step of its own.

    Raises:
        ConfigError: an unknown `embedding_sharing`; other versions; tables that are to be shared are not alike; or
            "es" with `decoupled`.
    """
    if embedding_sharing not in SHARINGS:
        raise ConfigError(one_of("embedding_sharing", embedding_sharing, SHARINGS))
    if embedding_sharing == "es" and decoupled:
        raise ConfigError(
            'embedding_sharing="es" shares a table, trained by both losses together: decoupled steps are refused. Take '
            'joint ones, or embedding_sharing="gdes".'
        )
    rules = {"model_type": "the versions", "vocab_size": "the vocabularies", "pad_token_id": "the padding tokens"}
    shared = {
        "embedding_width": "the widths of the embeddings, which are shared,",
        "max_position_embeddings": "the tables of positions, which are shared,",
        "position_biased_input": "what is added to the words, whose tables are shared,",
    }
    for name, what in (rules if embedding_sharing == "none" else rules | shared).items():
        own, other = getattr(generator, name), getattr(discriminator, name)
        if own != other:
            field = "embedding_size or hidden_size" if name == "embedding_width" else name
            mend = ', or take embedding_sharing="none"' if name in shared else ""
            raise ConfigError(
                f"the generator has {field}={own!r} and the discriminator {other!r}: {what} must be the same. Give a "
                f"generator that was made for this discriminator{mend}."
            )


def has_position_table(config: BaseConfig, embedding_sharing: str) -> bool:
    """Whether a discriminator keeps a table of positions, or the difference to one, which only its file needs."""
    return config.position_biased_input or embedding_sharing != "es"


def generator_config_of(config: BaseConfig) -> BaseConfig:
    """The configuration of the generator for a discriminator: half its layers, rounded up; all else alike."""
    kept = range(0, config.num_hidden_layers, 2)
    pruned = {layer // 2: heads for layer, heads in config.pruned_heads.items() if layer in kept}
    extra = {name: value for name, value in config.extra.items() if name not in ("architectures", _SHARING)}
    changes = {"num_hidden_layers": len(kept), "pruned_heads": pruned, "extra": extra}
    half = config.replace(**changes, legacy=False, mlm_decoder="plain")
    return half.replace(mlm_decoder="enhanced") if half.can_enhance_decoder else half


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models' configurations and parameters; as a context manager it closes the files at the end.

    Attributes:
        generator_config: of the generator, a masked-LM model.
        config: of the discriminator.
        embedding_sharing: a name of `SHARINGS`.
        generator: all its parameters by name.
        discriminator: all its parameters; under "gdes" the tables are `DELTA_NAMES`, under "es" they are left out.
    """

    generator_config: BaseConfig
    config: BaseConfig
    embedding_sharing: str
    generator: LazyWeights
    discriminator: LazyWeights

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.generator.close()
        self.discriminator.close()


def read_pair(
    folder: str | Path,
    config_class: type[BaseConfig],
    generator: str | Path | None = BESIDE,
    embedding_sharing: str | None = None,
    *,
    new_head: bool = False,
    seed: int | None = None,
) -> Pair:
    """Opens the checkpoints of a pair, or makes a generator of a discriminator.

    Args:
        folder: the discriminator's checkpoint folder.
        config_class: of both configurations.
        generator: the generator's folder or weight file, by default beside the discriminator. None makes one, with a
            warning: every second layer of the discriminator, its tables, and its masked-LM head where it has one.
        embedding_sharing: a name of `SHARINGS`; None is what config.json says, or else "gdes".
        new_head: whether the discriminator's head may be missing; it then starts fresh.
        seed: of what starts fresh; None: other numbers every time.

    Raises:
        ConfigError: a configuration is missing or wrong, or the two do not fit (`check_pair`).
        WeightError: weights are missing, damaged, or do not fit; there is no generator; or the discriminator's file
            holds the difference to a generator's table alone, and there is no generator to add it to.
    """
    with ExitStack() as opened:
        config = load_config(config_class, folder, None)
        sharing = embedding_sharing or config.extra.get(_SHARING, SHARINGS[0])
        source = opened.enter_context(open_weights(folder, config))
        if generator is None:
            generator_config = generator_config_of(config)
            check_pair(generator_config, config, sharing)
            weights = _made_generator(source, config, generator_config, seed)
        else:
            place = _generator_place(Path(folder), generator)
            generator_config = load_config(config_class, place, _TASKS["generator"])
            check_pair(generator_config, config, sharing)
            weights = opened.enter_context(load_weights(place, generator_config, _TASKS["generator"])).weights
        found = _discriminator(source, config, weights, sharing, new_head, seed)
        opened.pop_all()
        return Pair(generator_config, config, sharing, weights, found)


def write_pair(
    folder: str | Path,
    generator_config: BaseConfig,
    config: BaseConfig,
    generator: Mapping[str, Array],
    discriminator: Mapping[str, Array],
    embedding_sharing: str,
    *,
    keep_delta: bool = False,
    format: str = "safetensors",
) -> None:
    """Writes both models, configurations and weights, as one; files of these names are replaced.

    Args:
        folder: made if need be.
        generator_config: of the generator.
        config: of the discriminator.
        generator: all its parameters.
        discriminator: all its parameters, as `Pair.discriminator` has them. The file gets the sums of the tables, so
            that it is an ordinary checkpoint.
        embedding_sharing: a name of `SHARINGS`.
        keep_delta: whether the differences are written too, from which pretraining goes on with every digit.
        format: "safetensors" or "bin".

    Raises:
        WeightError: another format, or the folder cannot be written, and is as it was.
    """
    formats = {name: file for name, file in zip(("safetensors", "bin"), GENERATOR_FILES, strict=True)}
    if format not in formats:
        raise WeightError(one_of("format", format, list(formats)))
    row = FORMATS[format]
    other = next(name for name in formats if name != format)
    stale = {FORMATS[other].file_name, formats[other], row.index_name, FORMATS[other].index_name}
    tables = _Folded(generator, discriminator, keep_delta)
    with replace_files(folder, WeightError, stale=lambda _: stale) as staging:
        row.write(staging / row.file_name, config, _TASKS["discriminator"], tables)
        row.write(staging / formats[format], generator_config, _TASKS["generator"], generator)
        told = config.replace(extra=config.extra | {_SHARING: embedding_sharing})
        told.save_pretrained(staging)
        write_text(staging / GENERATOR_CONFIG, generator_config.to_json_string(use_diff=False))


class _Folded(Mapping[str, Array]):
    """A discriminator's parameters, its tables added up; each is made when it is asked for."""

    def __init__(self, generator: Mapping[str, Array], discriminator: Mapping[str, Array], keep_delta: bool) -> None:
        self._generator, self._own = generator, discriminator
        deltas = set(DELTA_NAMES.values())
        names = {name: None for name in discriminator if keep_delta or name not in deltas}
        self._names = dict.fromkeys(name for name in DELTA_NAMES if name in generator or name in discriminator) | names

    def __getitem__(self, name: str) -> Array:
        if name not in DELTA_NAMES or name in self._own:
            return self._own[name]
        delta = DELTA_NAMES[name]
        table = self._generator[name]
        return table + self._own[delta] if delta in self._own else table

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _generator_place(folder: Path, generator: str | Path) -> Path:
    """The weight file of a generator, or the folder of one that lies by itself."""
    place = folder if generator == BESIDE else Path(generator)
    if place.is_file():
        return place
    for name in GENERATOR_FILES:
        if (place / name).is_file():
            return place / name
    if generator != BESIDE and place.is_dir():
        return place
    raise WeightError(
        f"{place} holds no generator: {' or '.join(GENERATOR_FILES)}. Give its folder or file as generator, or "
        f"generator=None to make one of the discriminator."
    )


def _made_generator(
    source: LazyWeights, config: BaseConfig, generator_config: BaseConfig, seed: int | None
) -> LazyWeights:
    """A generator of a discriminator's weights: layers 0, 2, 4, ..., tables, and head where it has them."""
    if _WORDS not in _canonical(source):
        raise WeightError(
            f"{source.file} holds no {_WORDS}. A difference to a generator's table (_weight) is no table: give that "
            f"generator."
        )
    halved = {}
    for name, entry in _canonical(source).items():
        head, number, tail = _layer_of(name)
        if number is None:
            halved[name] = entry
        elif number % 2 == 0 and number < config.num_hidden_layers:
            halved[f"{head}{number // 2}{tail}"] = entry
    task = _TASKS["generator"]
    loaded = match_weights(source.replaced(halved), generator_config, task)
    fresh = {name for name in loaded.report.missing if name.startswith("lm_predictions.") or name == _POSITIONS}
    refuse_problems(loaded, generator_config, task, tuple(fresh))
    warnings.warn(
        f"{source.file} has no generator, so one was made: layers 0, 2, 4, ... of the discriminator"
        f"{' and a head that starts fresh' if fresh - {_POSITIONS} else ''}. It is no published one; give that where "
        f"you have it.",
        DebertaWarning,
        stacklevel=4,
    )
    return _with_fresh(loaded, generator_config, task, seed)


def _discriminator(
    source: LazyWeights, config: BaseConfig, generator: LazyWeights, sharing: str, new_head: bool, seed: int | None
) -> LazyWeights:
    """The discriminator's parameters, with tables as `sharing` has them."""
    task = _TASKS["discriminator"]
    stored = _canonical(source)
    loaded = match_weights(source.replaced(stored), config, task)
    refuse_problems(loaded, config, task, (*DELTA_NAMES, *(("mask_predictions.",) if new_head else ())))
    complete = _with_fresh(loaded, config, task, seed, without=DELTA_NAMES)
    entries = {name: entry for name, entry in complete.entries.items() if name not in DELTA_NAMES}
    shapes = {_WORDS: expand(config, task)[_WORDS].shape}
    shapes[_POSITIONS] = (config.max_position_embeddings, config.embedding_width)
    for name, delta in DELTA_NAMES.items():
        if name != _WORDS and not has_position_table(config, sharing):
            continue
        table = _Table(
            source.file, name, shapes[name], stored.get(name), stored.get(delta), generator.entries.get(name)
        )
        table.check(sharing)
        if sharing != "es":
            entries[delta if sharing == "gdes" else name] = table.delta() if sharing == "gdes" else table.whole()
    return complete.replaced(entries)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the discriminator, as files have it: whole, as a difference to the generator's, or both."""

    file: Path
    name: str
    shape: tuple[int, ...]
    weight: Entry | None
    difference: Entry | None
    generator: Entry | None

    def check(self, sharing: str) -> None:
        """Raises for tables that are not there or of another shape; warns where two that should agree do not."""
        for entry in (self.weight, self.difference, self.generator):
            if entry is not None and entry.shape != self.shape:
                raise WeightError(f"{self.file}: {entry.stored} has the shape {entry.shape}, not {self.shape}.")
        if self.name == _WORDS and self.weight is None and self.difference is None:
            raise WeightError(f"{self.file} holds neither {self.name} nor its difference to the generator's table.")
        if self.weight is None or self.generator is None or (sharing != "es" and self.difference is None):
            return
        gap = max(self._gap(self.weight, self.generator, rows) for rows in row_slices(self.shape, _FLOAT))
        if gap > _AGREEMENT:
            what = "the generator's table" if self.difference is None else "the generator's table plus _weight"
            warnings.warn(
                f"{self.file}: {self.name} differs from {what} by up to {gap:.2g}. Is this generator the one it was "
                f"trained with?",
                DebertaWarning,
                stacklevel=5,
            )

    def _gap(self, weight: Entry, generator: Entry, rows: slice) -> float:
        difference = 0.0 if self.difference is None else _wide(self.difference, rows)
        return float(np.abs(_wide(weight, rows) - _wide(generator, rows) - difference).max(initial=0.0))

    def delta(self) -> Entry:
        """The difference to the generator's table."""
        if self.difference is not None:
            return dataclasses.replace(self.difference, shape=self.shape)
        if self.weight is None or self.generator is None:
            return _entry(self.name, self.shape, lambda rows: np.zeros(self.shape, np.float32)[rows])
        weight, generator = self.weight, self.generator
        return _entry(self.name, self.shape, lambda rows: _wide(weight, rows) - _wide(generator, rows))

    def whole(self) -> Entry:
        """The table by itself."""
        if self.weight is not None:
            return self.weight
        generator, difference = self.generator, self.difference
        if generator is None:
            return _entry(self.name, self.shape, lambda rows: np.zeros(self.shape, np.float32)[rows])
        if difference is None:
            return generator
        return _entry(self.name, self.shape, lambda rows: _wide(generator, rows) + _wide(difference, rows))


def _entry(name: str, shape: tuple[int, ...], read: Any) -> Entry:
    return Entry(f"({name})", shape, _FLOAT, read)


def _wide(entry: Entry, rows: slice) -> Array:
    return np.asarray(entry.read(rows), _FLOAT)


def _canonical(source: LazyWeights) -> dict[str, Entry]:
    """The entries under names with the backbone's prefix."""
    return {new: source.entries[old] for old, new in canonical_names(source).items()}


def _layer_of(name: str) -> tuple[str, int | None, str]:
    head, found, rest = name.partition("encoder.layer.")
    number, dot, tail = rest.partition(".")
    return (head + found, int(number), dot + tail) if found and number.isdigit() else (name, None, "")


def _with_fresh(
    loaded: LoadedWeights, config: BaseConfig, task: str, seed: int | None, without: Collection[str] = ()
) -> LazyWeights:
    """The parameters of a file, and fresh ones where it has none."""
    fresh = draw_parameters(config, task, [name for name in loaded.report.missing if name not in without], seed)
    drawn = {name: Entry("(new)", array.shape, array.dtype, array.__getitem__) for name, array in fresh.items()}
    return loaded.weights.replaced(loaded.weights.entries | drawn)
