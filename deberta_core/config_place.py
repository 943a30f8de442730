"""Where the configuration of a checkpoint lies, and which version of DeBERTa it is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deberta_core.errors import ConfigError
from deberta_core.other_folders import describe_folder

CONFIG_FILE = "config.json"
_MICROSOFT_FILE = "model_config.json"  # what Microsoft's own code writes, without model_type
GENERATOR_CONFIG = "generator_config.json"  # of the other half of a pair that was pretrained together
GENERATOR = ".generator."  # in the name of its weights, `model.generator.safetensors` or `pytorch_model.generator.bin`
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".index.json")

# Keys of config.json, all of them of one model type; the first that has one of them is meant.
_KEYS: dict[str, tuple[str, ...]] = {
    "deberta-v2": (
        "position_buckets",
        "share_att_key",
        "norm_rel_ebd",
        "conv_kernel_size",
        "conv_groups",
        "conv_act",
        "attention_head_size",
    ),
    "deberta": ("relative_attention", "pos_att_type", "talking_head"),
}


def config_in(path: Path) -> Path:
    """The configuration in a folder or beside a weight file; another file is one itself.

    Beside the weights of a generator it is the generator's.

    Raises:
        ConfigError: there is none in the folder, which holds something else than a model.
    """
    folder = path.parent if path.is_file() and path.name.endswith(_WEIGHTS) else path
    if not folder.is_dir():
        return folder
    generators: tuple[str, ...] = (GENERATOR_CONFIG,) if folder != path and GENERATOR in path.name else ()
    for name in (*generators, CONFIG_FILE, _MICROSOFT_FILE):
        if (folder / name).is_file():
            return folder / name
    if folder == path and (kind := describe_folder(folder)):
        raise ConfigError(f"There is no {CONFIG_FILE}: {kind}")
    return folder / CONFIG_FILE


def with_published_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a configuration, with the fields that Microsoft's own code calls otherwise."""
    values = dict(values)
    pooling = values.get("pooling")
    pooling = pooling if isinstance(pooling, Mapping) else {}
    theirs = {
        "pooler_dropout": pooling.get("dropout"),
        "pooler_hidden_act": pooling.get("hidden_act"),
        "cls_dropout": values.pop("cls_drop_out", None),
    }
    return {name: value for name, value in theirs.items() if value is not None} | values


def told_model_type(file: Path, values: Mapping[str, Any]) -> Any:
    """The `model_type` of a configuration, or what its other keys tell.

    Raises:
        ConfigError: nothing tells.
    """
    if "model_type" in values:
        return values["model_type"]
    for model_type, keys in _KEYS.items():
        if any(key in values for key in keys):
            return model_type
    raise ConfigError(
        f"{file} has no model_type, and no key that only one version of DeBERTa has. If it is DeBERTa's, pass "
        f'model_type="deberta" for v1, "deberta-v2" for v2 and v3.'
    )
