"""Low-rank adapters (LoRA), made by Keras' own layers and kept in PEFT's files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from deberta_core.checkpoint.safetensors_file import read_safetensors, write_safetensors
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, WeightError, name_list, one_of
from deberta_core.files import read_json
from deberta_core.json_shape import NUMBER, TEXT, integer, list_of, record
from deberta_core.parameters import ADAPTED, DENSE, EMBEDDING, expand
from deberta_core.tasks import TaskSpec
from deberta_core.transaction import replace_files
from deberta_tf.weights import alpha_of, assign, layers_by_parameter, lora_factors, parameter_variables

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of every name in an adapter's file
_PARTS = {DENSE: ("lora_A.weight", "lora_B.weight"), EMBEDDING: ("lora_embedding_A", "lora_embedding_B")}
_SHAPE = record({"r": integer(1, 1 << 16), "lora_alpha": NUMBER, "target_modules": list_of(TEXT)})
KERAS_HAS_ALPHA = "lora_alpha" in inspect.signature(keras.layers.Dense.enable_lora).parameters
_HINT = "A folder of save_lora_weights, or of PEFT, has both files of an adapter."


class Adaptable(keras.Model):
    """The adapter side of a model, mixed into it."""

    config: BaseConfig
    spec: TaskSpec
    task: ClassVar[str | None]

    def enable_lora(
        self, rank: int, target_modules: Collection[str] | None = None, lora_alpha: float | None = None
    ) -> None:
        """Freezes the backbone and gives some of its layers an adapter each, of this rank; a head goes on learning.

        To be called before `compile`. `save_pretrained` and Keras' files hold the weights with the adapters merged
        into them; `save_lora_weights` writes the adapters alone, and the head.

        Args:
            rank: of the adapters.
            target_modules: last names of dense and embedding layers, such as "query_proj", "value_proj" (the default of
                v2 and v3), "in_proj" (that of v1), "dense", "word_embeddings".
            lora_alpha: adapters are multiplied by `lora_alpha / rank`; None is `rank`.

        Raises:
            InputError: the rank is no positive integer, a target does not exist, the model was compiled or has adapters
                already, or this Keras knows no `lora_alpha` but the rank.
        """
        if not isinstance(rank, int) or rank < 1:
            raise InputError(f"rank={rank!r} is no positive integer. Give the rank of the adapters, such as 8.")
        if lora_alpha not in (None, rank) and not KERAS_HAS_ALPHA:
            raise InputError(
                f"lora_alpha={lora_alpha!r} needs Keras 3.10 or newer, and this is {keras.__version__}, where it is "
                f"always the rank. Leave it out, or install a newer Keras."
            )
        if self.compiled or self._adapters():
            state = "compiled" if self.compiled else "with adapters"
            raise InputError(f"the model is {state} already. Call enable_lora once, before compile.")
        layers = self._possible_targets()
        targets = tuple(target_modules or ADAPTED[self.config.model_type])
        known = {name.split(".")[-2] for name in layers}
        if unknown := set(targets) - known:
            raise InputError(one_of("target_modules", sorted(unknown)[0], sorted(known)))
        backbone: Any = getattr(self, "deberta", self)
        for variable in backbone.weights:
            variable.trainable = False
        for name, layer in layers.items():
            if name.split(".")[-2] in targets:
                layer.enable_lora(rank, **({"lora_alpha": lora_alpha} if KERAS_HAS_ALPHA else {}))
        self.predict_function = None  # it may have been traced without them

    def save_lora_weights(self, folder: str | Path) -> None:
        """Writes the adapters, and the head, as PEFT does: adapter_config.json and adapter_model.safetensors.

        Args:
            folder: where to; made if need be.

        Raises:
            InputError: there are no adapters, or they differ in rank or scale.
            WeightError: the folder cannot be written.
        """
        adapters = self._adapters()
        if len({(layer.lora_rank, alpha_of(layer)) for layer in adapters.values()}) != 1:
            state = "adapters of several ranks" if adapters else "no adapters"
            raise InputError(f"the model has {state}. Call enable_lora(rank), which gives all targets the same.")
        table = expand(self.config, self.task)
        arrays = {}
        for name, layer in adapters.items():
            for part, variable in zip(_PARTS[table[name].kind], lora_factors(layer), strict=True):
                arrays[f"{_PREFIX}{name.removesuffix('weight')}{part}"] = keras.ops.convert_to_numpy(variable).T
        variables = parameter_variables(self)
        for name in self._head():
            array = keras.ops.convert_to_numpy(variables[name])
            arrays[_PREFIX + name] = np.ascontiguousarray(table[name].kind.convert(array))
        one = next(iter(adapters.values()))
        settings = {
            "peft_type": "LORA",
            "r": one.lora_rank,
            "lora_alpha": alpha_of(one),
            "target_modules": sorted({name.split(".")[-2] for name in adapters}),
            "modules_to_save": sorted({name.split(".")[0] for name in self._head()}) or None,
            "bias": "none",
            "lora_dropout": 0.0,
            "fan_in_fan_out": False,
            "inference_mode": True,
            "base_model_name_or_path": None,
            "task_type": None,
        }
        with replace_files(folder, WeightError) as staging:
            write_safetensors(staging / WEIGHTS_FILE, self.config, self.task, arrays)
            (staging / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def load_lora_weights(self, folder: str | Path) -> None:
        """Reads adapters of `save_lora_weights`, or of PEFT, into this model; its base weights are not changed.

        Args:
            folder: with adapter_config.json and adapter_model.safetensors.

        Raises:
            WeightError: a file is missing or broken, or its adapters are not those of this model.
            InputError: the model was compiled, or has adapters already.
        """
        folder = Path(folder)
        settings = read_json(folder / CONFIG_FILE, WeightError, _HINT, _SHAPE)
        self.enable_lora(settings["r"], settings["target_modules"], settings["lora_alpha"])
        table = expand(self.config, self.task)
        with read_safetensors(folder / WEIGHTS_FILE, self.config) as stored:
            wanted = {
                f"{_PREFIX}{name.removesuffix('weight')}{part}": variable
                for name, layer in self._adapters().items()
                for part, variable in zip(_PARTS[table[name].kind], lora_factors(layer), strict=True)
            }
            head = {name for name in self._head() if _PREFIX + name in stored}
            wrong = set(stored) ^ {*wanted, *(_PREFIX + name for name in head)}
            wrong |= {name for name in set(stored) & set(wanted) if stored[name].shape != wanted[name].shape[::-1]}
            if wrong:
                raise WeightError(
                    f"{folder / WEIGHTS_FILE} has other adapters than its configuration makes in this model: "
                    f"{name_list(wrong)}. Load it into a model of the same class and size."
                )
            for name, variable in wanted.items():
                variable.assign(np.ascontiguousarray(stored[name].T))
            assign(self, {name: stored[_PREFIX + name] for name in head})

    def _possible_targets(self) -> dict[str, Any]:
        """By the parameter that an adapter adds to, the layers of the backbone."""
        table, head = expand(self.config, self.task), self._head()
        return {
            name: layer
            for name, layer in layers_by_parameter(self).items()
            if name not in head and table[name].kind in _PARTS and hasattr(layer, "enable_lora")
        }

    def _adapters(self) -> dict[str, Any]:
        return {name: layer for name, layer in self._possible_targets().items() if layer.lora_enabled}

    def _head(self) -> list[str]:
        """The parameters that are not of the backbone."""
        return [name for name in expand(self.config, self.task) if name.split(".")[0] in self.spec.head_modules]
