"""Model configurations: frozen, fully declared, validated; config.json both ways."""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from deberta_core import limits
from deberta_core.config_names import ConfigNames, own_fields, with_names
from deberta_core.config_place import CONFIG_FILE, config_in, with_published_names
from deberta_core.config_rules import NOT_SET, SPELLINGS, head_numbers, label_fields, usual_spelling, violations
from deberta_core.config_sizes import Sizes
from deberta_core.errors import ConfigError, DebertaWarning, shown
from deberta_core.files import read_json, write_text
from deberta_core.hub import Wanted, local_folder, split_hub_options
from deberta_core.json_shape import ANY, map_of
from deberta_core.names.configs import CONFIG_LOADING
from deberta_core.names.loading import SAVING
from deberta_core.names.rows import with_other_names
from deberta_core.presets import preset_fields
from deberta_core.transaction import replace_files

FILE_HINT = (
    "A checkpoint folder holds a config.json. Where a trainer saved the weights alone, write it with "
    "model.config.save_pretrained(folder), or give the model's from_pretrained a config."
)

_FIELDS = map_of(ANY)
_LABEL_FIELDS = ("num_labels", "id2label", "label2id")
# num_labels follows from id2label, as in published files.
_NOT_WRITTEN = frozenset({"extra", "num_labels", "name_or_path"})
# What files mention only where it is not the default: what a call returns, and a switch that no published file has.
_UNMENTIONED = {"output_attentions": False, "output_hidden_states": False, "return_dict": True, "mlm_decoder": "plain"}


def config_file(path: str | Path, **hub_options: Any) -> Path:
    """The config.json of a folder or beside a weight file, one that is given itself, or a hub id's, downloaded.

    Raises:
        ConfigError: see `deberta_core.hub.local_folder`.
    """
    return config_in(local_folder(path, [Wanted((CONFIG_FILE,))], ConfigError, **hub_options))


@with_names
@dataclass(frozen=True, kw_only=True)
class BaseConfig(Sizes, ConfigNames):
    """The fields DeBERTa v1 and v2/v3 share.

    Every switch is declared here or in a subclass and has one default (NUMERICS, decision 6). Sizes are counts,
    positions are in tokens, dropouts are probabilities in [0, 1). `-1` means "not set" in the two fields that
    published files write so.

    Raises:
        ConfigError: all broken rules at once, each with field, value and what is allowed.

    Source:
        transformers `configuration_deberta.py`, `configuration_deberta_v2.py`, and the keys their models read by
        `getattr`.
    """

    model_type: ClassVar[str]

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    attention_head_size: int | None = None  # None: hidden_size / num_attention_heads
    embedding_size: int | None = None  # width of the embedding tables; None: hidden_size
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0  # 0: no token type table
    initializer_range: float = 0.02  # standard deviation of fresh weights
    layer_norm_eps: float = 1e-7
    # Layer numbers to the heads it no longer has, by the numbers of the whole model.
    pruned_heads: dict[int, tuple[int, ...]] = field(default_factory=dict, hash=False)
    pad_token_id: int = 0
    position_biased_input: bool = True  # add absolute positions to the embeddings
    relative_attention: bool = False
    max_relative_positions: int = NOT_SET  # below 1: max_position_embeddings
    pos_att_type: tuple[str, ...] = ()  # of "c2p", "p2c"; "p2c|c2p", lists and None are accepted

    pooler_dropout: float = 0.0
    pooler_hidden_act: str = "gelu"
    legacy: bool = True  # masked LM: the head `cls.predictions`; false: `lm_predictions.lm_head`, as in published files
    mlm_decoder: str = "plain"  # masked LM; "enhanced": the last layer twice, with queries from positions (NUMERICS 7)
    cls_dropout: float | None = None  # None: hidden_dropout_prob
    num_labels: int | None = None  # None: as many as id2label names, else 2
    id2label: dict[int, str] | None = field(default=None, hash=False)
    label2id: dict[str, int] | None = field(default=None, hash=False)
    problem_type: str | None = None  # None: decided by num_labels and the labels (NUMERICS 6)

    # Of a call that does not say it itself.
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True  # false: a plain tuple

    name_or_path: str = field(default="", compare=False)  # where it was loaded from
    extra: dict[str, Any] = field(default_factory=dict, hash=False)  # other keys of config.json, kept for writing back

    def __post_init__(self) -> None:
        if found := _FIELDS({} if self.extra is None else self.extra):
            raise ConfigError(f"{found.inside('.extra').describe(type(self).__name__)}. Keys are names of fields.")
        self._set(pos_att_type=_attention_types(self.pos_att_type), extra=dict(self.extra or {}))
        self._set(pruned_heads=head_numbers(self.pruned_heads))
        self._set(**{name: usual_spelling(self, name) for name in SPELLINGS if name in self.field_names()})
        for name in ("max_relative_positions", "position_buckets"):
            value = self._own(name, None)
            if isinstance(value, int) and value < 1:
                self._set(**{name: NOT_SET})
        for name in ("embedding_size", "attention_head_size"):
            if isinstance(value := getattr(self, name), int) and value == NOT_SET:
                self._set(**{name: None})
        self._set(**label_fields(self.num_labels, self.id2label, self.label2id))
        broken = violations(self)
        if broken:
            raise ConfigError(f"{type(self).__name__}: " + " ".join(broken))

    def call_options(
        self, output_attentions: bool | None, output_hidden_states: bool | None, return_dict: bool | None
    ) -> tuple[bool, bool, bool]:
        """What a call returns: each as it was given, or where it is None as the fields of these names say."""
        return (
            self.output_attentions if output_attentions is None else bool(output_attentions),
            self.output_hidden_states if output_hidden_states is None else bool(output_hidden_states),
            self.return_dict if return_dict is None else bool(return_dict),
        )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen for everyone else

    @classmethod
    def check_class(cls, config: object, model: str) -> None:
        """Refuses a configuration of another version, or something else.

        Raises:
            ConfigError: it names the model class, what was given, and what the model takes.
        """
        if not isinstance(config, cls):
            raise ConfigError(
                f"{model} takes a {cls.__name__}, not a {type(config).__name__}. Use that version's classes."
            )

    # Dictionaries and files

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The declared fields, without `extra`."""
        return tuple(f.name for f in dataclasses.fields(cls) if f.name not in ("extra", "name_or_path"))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The configuration of a published size, such as `"deberta-v3-base"`, with `changes` applied.

        Raises:
            ConfigError: no such preset of this version (the message lists them), or a change that is not allowed.
        """
        return cls(**preset_fields(cls.model_type, name)).replace(**changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from the content of a config.json.

        Args:
            values: field names to values; other keys are kept in `extra`.

        Raises:
            ConfigError: a value is not allowed, or `model_type` is another model's.
        """
        if found := _FIELDS(values):
            raise ConfigError(f"{found.describe('The configuration')}. Give an object of fields.")
        limits.check("config_fields", len(values), "The configuration has", ConfigError)
        values = dict(values)
        model_type = values.pop("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ConfigError(
                f"model_type={shown(model_type)} is not {cls.model_type!r}, which {cls.__name__} reads. "
                f"Use the classes of that model."
            )
        values.pop("pooler_hidden_size", None)  # always hidden_size (NUMERICS, decision 6)
        values = with_published_names(values)
        if "use_return_dict" in values:
            values.setdefault("return_dict", values.pop("use_return_dict"))
        declared = cls.field_names()
        known = {name: values.pop(name) for name in declared if name in values}
        for name in values:
            close = difflib.get_close_matches(name, declared, n=1, cutoff=0.9)
            if close and not name.startswith("_"):
                message = f"config has {name!r}, which is not a field and changes nothing; {close[0]!r} is one."
                warnings.warn(message, DebertaWarning, stacklevel=2)
        return cls(**known, extra=values)

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json, in the spelling published files use; `from_dict` gives this object again."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _NOT_WRITTEN}
        pruned = {str(layer): list(heads) for layer, heads in self.pruned_heads.items()}
        fields["pruned_heads"] = pruned or None  # files of whole models do not mention it
        fields = {
            name: value
            for name, value in fields.items()
            if value is not None and (name not in _UNMENTIONED or value != _UNMENTIONED[name])
        }
        fields["pos_att_type"] = "|".join(self.pos_att_type) or None
        assert self.id2label is not None
        if {name: getattr(self, name) for name in _LABEL_FIELDS} == label_fields(None, None, None):
            del fields["id2label"], fields["label2id"]
        else:
            fields["id2label"] = {str(index): label for index, label in self.id2label.items()}
        return self.extra | {"model_type": self.model_type, "pooler_hidden_size": self.hidden_size} | fields

    @classmethod
    @with_other_names(CONFIG_LOADING, ConfigError)
    def from_pretrained(cls, path: str | Path, **overrides: Any) -> Self:
        """Reads a config.json.

        Args:
            path: a checkpoint folder, the file itself, or a hub id.
            **overrides: fields to change; `subfolder`; and for a hub id the other options of
                `deberta_core.hub.local_folder` (`revision`, `cache_dir`, `local_files_only`, `token`). Names of
                transformers: `deberta_core.names.loading` and `deberta_core.names.configs`.

        Raises:
            ConfigError: no such file, no JSON object, a value that is not allowed, another model's file, or an
                override that names no field.
        """
        hub, overrides = split_hub_options(overrides)
        file = config_file(path, **hub)
        values = read_json(file, ConfigError, hint=FILE_HINT)
        try:
            config = cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
        return config.replace(**{"name_or_path": str(path), **overrides})

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> Self:
        """Reads a config.json; see `from_pretrained`."""
        return cls.from_pretrained(Path(json_file))

    @with_other_names(SAVING)
    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes `config.json` into `folder`, which is made if need be, and returns the file's path.

        Raises:
            ConfigError: the file cannot be written; an older one is as it was.
        """
        with replace_files(folder, ConfigError) as staging:
            write_text(staging / CONFIG_FILE, self.to_json_string(use_diff=False))
        return Path(folder) / CONFIG_FILE

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; a new number of labels drops the old label names.

        Raises:
            ConfigError: a name is not a field, or a value is not allowed.
        """
        changes = own_fields(type(self), changes, self.extra)
        labels = changes.keys() & set(_LABEL_FIELDS)
        if labels and (labels != {"num_labels"} or changes["num_labels"] != self.num_labels):
            changes = dict.fromkeys(_LABEL_FIELDS) | changes
        return dataclasses.replace(self, **changes)


@with_names
@dataclass(frozen=True, kw_only=True)
class DebertaConfig(BaseConfig):
    """Configuration of DeBERTa v1 (`model_type: deberta`).

    The defaults are those of deberta-base's sizes with the switches of NUMERICS decision 6; `preset` has the released
    models.

    Source:
        transformers `configuration_deberta.py`.
    """

    model_type: ClassVar[str] = "deberta"

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    talking_head: bool = False  # mix the heads' scores and probabilities


@with_names
@dataclass(frozen=True, kw_only=True)
class DebertaV2Config(BaseConfig):
    """Configuration of DeBERTa v2, v3 and mDeBERTa (`model_type: deberta-v2`).

    The defaults are those of deberta-v2-xlarge's sizes with the switches of NUMERICS decision 6; `preset` has the
    released models.

    Source:
        transformers `configuration_deberta_v2.py`.
    """

    model_type: ClassVar[str] = "deberta-v2"

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    relative_attention: bool = True
    position_buckets: int = NOT_SET  # K: even and at least 4; below 1: no buckets
    share_att_key: bool = False  # position tables go through the content projections
    norm_rel_ebd: str = "none"  # "layer_norm": the relative table is LayerNormed
    conv_kernel_size: int = 0  # odd; 0: no convolution
    conv_groups: int = 1
    conv_act: str = "tanh"


def _attention_types(value: object) -> object:
    """Brings the spellings of `pos_att_type` into one: a tuple of lower-case names."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = [part for part in value.split("|") if part.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
        return value  # the rules name it
    parts = tuple(part.strip().lower() for part in value)
    return () if parts == ("none",) else parts
