"""The backbone, and what every model has: configuration, calling conventions, loading and saving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import keras
from keras import ops

from deberta_core.checkpoint import checkpoint_folder, load_config
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.errors import ConfigError
from deberta_core.names.keras import KERAS_OPTIONS
from deberta_core.names.loading import LOADING, SAVING
from deberta_core.names.rows import with_other_names
from deberta_core.outputs import make_output
from deberta_core.tasks import TaskSpec, task_spec
from deberta_tf import weights
from deberta_tf.calls import Called
from deberta_tf.checkpointing import check_checkpointing
from deberta_tf.checks import check_call
from deberta_tf.data import Fed
from deberta_tf.embeddings import Embeddings
from deberta_tf.encoder import Encoder
from deberta_tf.export import check_export, export_saved_model, input_specs
from deberta_tf.layers import take_tokens
from deberta_tf.lora import Adaptable
from deberta_tf.masks import Masks, make_masks
from deberta_tf.quantization import Quantizable
from deberta_tf.surgery import Resizable


class Encoded(NamedTuple):
    """What a backbone hands to a head."""

    last_hidden_state: Any  # [B, L, C]; of masked LM [N, C], where its head is to read some tokens alone
    masks: Masks
    hidden_states: tuple[Any, ...] | None
    attentions: tuple[Any, ...] | None


class PreTrainedModel(Called, Adaptable, Quantizable, Resizable):
    """Base of all models; raises `ConfigError` for the configuration of another version.

    Every variable exists from construction on. `keras.models.load_model("model.keras")` knows our classes after
    `import deberta_tf`, and only then.

    Attributes:
        config: the configuration; not to be changed after construction.
        config_class: the configuration's type.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone.
    """

    config_class: ClassVar[type[BaseConfig]]
    task: ClassVar[str | None] = None

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if hasattr(self, "config_class"):  # a backbone inside a task model has none
            self.config_class.check_class(config, type(self).__name__)
        self.config = config

    @property
    def spec(self) -> TaskSpec:
        """The row of this model's task."""
        return task_spec(self.task)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuses wrong inputs and labels, given by name."""
        check_call(self.config, self.spec, inputs)

    def gradient_checkpointing_enable(self) -> None:
        """Trains in less memory: what a layer computed inside is computed again in the backward pass.

        Loss and gradients stay those of the same dropout. In evaluation nothing changes. It is not saved. Op by op
        (`run_eagerly`) it saves no memory: the outer tape keeps what it sees.

        Raises:
            InputError: Keras runs on another backend than TensorFlow.
        """
        check_checkpointing()
        self._checkpoint(True)

    def gradient_checkpointing_disable(self) -> None:
        """Undoes `gradient_checkpointing_enable`."""
        self._checkpoint(False)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether `gradient_checkpointing_enable` is in force."""
        return self._encoder.checkpointing

    @property
    def _encoder(self) -> Encoder:
        backbone: Any = getattr(self, "deberta", self)
        encoder: Encoder = backbone.encoder
        return encoder

    def _checkpoint(self, forgets: bool) -> None:
        self._encoder.checkpointing = forgets
        self.train_function = None  # which `fit` may have traced

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs: the configuration as a dictionary, and Keras' name and dtype policy."""
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        quantized = self.quantized_layers()
        made = {"config": self.config.to_dict(), "name": self.name, "dtype": policy}
        return made | ({"quantized": quantized} if quantized else {})

    @classmethod
    def from_config(cls, config: dict[str, Any] | BaseConfig, custom_objects: Any = None) -> Self:
        """Builds a model with fresh weights, from a configuration or from `get_config`'s dictionary."""
        if isinstance(config, BaseConfig):
            return cls(config)
        values = dict(config)
        quantized = values.pop("quantized", {})
        model = cls(cls.config_class.from_dict(values.pop("config")), **values)
        model.quantize_layers(quantized)
        return model

    @classmethod
    @with_other_names({**LOADING, **KERAS_OPTIONS}, ConfigError)
    def from_pretrained(
        cls,
        path: str | Path,
        config: BaseConfig | None = None,
        *,
        dtype: Any = None,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        force_download: bool = False,
        subfolder: str | None = None,
        **config_overrides: Any,
    ) -> Self | tuple[Self, Any]:
        """Builds a model from a checkpoint folder.

        Bare and task checkpoints cross: a backbone is read out of a task checkpoint and the reverse.

        Args:
            path: a folder with config.json and weights in any of `deberta_core.checkpoint.FORMATS`, in one file or
                several; such a file, with config.json beside it; or a hub id.
            config: used as it is instead of the folder's config.json. That may lack `legacy`; then the weights' names
                say which masked-LM head it is.
            dtype: a Keras dtype or policy; None is the global policy.
            new_head: a missing head is initialised without a word.
            ignore_mismatched_sizes: parameters whose shape differs are initialised, with a warning.
            output_loading_info: also return the `LoadReport`.
            revision: of a hub id: a branch, tag or commit.
            cache_dir: where downloads are kept; None is the hub's own place.
            local_files_only: use no network.
            token: for repositories that are not public.
            force_download: download again what is in the cache.
            subfolder: a folder inside of the folder or repository that is meant.
            **config_overrides: fields of the configuration to change, also `output_hidden_states`,
                `output_attentions` and `return_dict`, what a call returns that does not say so itself. Names of
                transformers, such as `from_pt`, are in `deberta_core.names.loading`.

        Raises:
            ConfigError: config.json is missing, wrong or another model's.
            WeightError: a weight file is missing or broken, or parameters are missing, unexpected or mis-shaped. Only
                a missing pooler and classifier are initialised, with a warning that names them.
        """
        name = str(path)
        path = checkpoint_folder(
            path,
            with_config=config is None,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            force_download=force_download,
            subfolder=subfolder,
        )
        if config is None:
            config_overrides = {"name_or_path": name, **config_overrides}
            config = load_config(cls.config_class, path, cls.task, config_overrides)
        elif config_overrides:
            config = config.replace(**config_overrides)
        model, report = weights.load(
            cls, config, path, dtype=dtype, new_head=new_head, ignore_mismatched_sizes=ignore_mismatched_sizes
        )
        return (model, report) if output_loading_info else model

    @with_other_names(SAVING)
    def save_pretrained(
        self, folder: str | Path, max_shard_size: int | str | None = "5GB", format: str = "safetensors"
    ) -> None:
        """Writes config.json and the weights into `folder`, which is made if need be; a model there is replaced as one.

        Args:
            folder: where to.
            max_shard_size: bytes, or a text such as "5GB", above which the weights go into several files and an index;
                None for one file.
            format: a name of `deberta_core.checkpoint.FORMATS`.

        Raises:
            WeightError: an unknown format, or one that cannot hold the parameters' dtype, or several files; or the
                folder cannot be written, and is as it was.
            InputError: `max_shard_size` is no size.
        """
        weights.save(self, Path(folder), max_shard_size, format)

    def export(
        self,
        filepath: str | Path,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes the model for serving; a SavedModel has the named signatures of `deberta_tf.export.SIGNATURES`.

        Args:
            filepath: the folder, or file, to write.
            format: "tf_saved_model", "litert" (a file `.tflite`) or "openvino" (`.xml`), of any batch size and length.
            verbose: whether Keras prints what it wrote.
            input_signature: another signature than ours; it is left to Keras.
            **kwargs: Keras' options of the format.

        Raises:
            InputError: Keras cannot write these models in this format, or on this backend.
        """
        check_export(self, format)
        if format == "tf_saved_model" and input_signature is None:
            export_saved_model(self, filepath, verbose)
        else:
            signature = [input_specs(self)] if input_signature is None else input_signature
            super().export(str(filepath), format, verbose, signature, **kwargs)


class TFDebertaPreTrainedModel(PreTrainedModel):
    """Base of the models of DeBERTa v1."""

    config_class = DebertaConfig


class TFDebertaV2PreTrainedModel(PreTrainedModel):
    """Base of the models of DeBERTa v2 and v3."""

    config_class = DebertaV2Config


class Backbone(Fed, PreTrainedModel):
    """Embeddings and encoder, of every version.

    Args:
        config: the model's configuration.
        with_positions: whether there is a table of absolute positions for the enhanced decoder.
    """

    def __init__(self, config: BaseConfig, with_positions: bool = False, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.embeddings = Embeddings(config, with_positions, name="embeddings", dtype=self.dtype_policy)
        self.encoder = Encoder(config, name="encoder", dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.embeddings.build((None, None))
        self.encoder.build((None, None, self.config.hidden_size))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, L, C]`."""
        return (None, None, self.config.hidden_size)

    def encode(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        decodes: bool = False,
        rows: Any = None,
    ) -> Encoded:
        """The forward pass without the packing of its result.

        Arguments are as for `call`, unchecked. With `decodes` the last hidden state is the enhanced mask decoder's;
        with `rows`, `[N]` integers, it is wanted at these tokens of the flattened batch alone.
        """
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        batch, length = ops.shape(tokens)[:2]
        masks = make_masks(attention_mask, batch, length)
        embedded = self.embeddings(masks.tokens, input_ids, token_type_ids, position_ids, inputs_embeds)
        hidden, hidden_states, attentions, last_input = self.encoder(
            embedded,
            masks,
            output_hidden_states=bool(output_hidden_states),
            output_attentions=bool(output_attentions),
            skips_last=decodes,
        )
        if decodes:
            positions = self.embeddings.position_rows(position_ids, length)
            hidden = self.encoder.decode(last_input, positions, masks, rows)
        elif rows is not None:
            hidden = take_tokens(hidden, rows)
        return Encoded(hidden, masks, hidden_states, attentions)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = None,
    ) -> Any:
        """Encodes a batch of texts.

        Args:
            input_ids: `[B, L]` integers in [0, V).
            attention_mask: `[B, L]`, `[B, L, L]` or `[B, 1, L, L]` of 0 and 1 in any dtype; None is all ones.
            token_type_ids: `[B, L]` integers in [0, type_vocab_size); read only if that is above 0.
            position_ids: `[B, L]` or `[1, L]`, default 0, ..., L - 1; read only with `position_biased_input`.
            inputs_embeds: `[B, L, E]`, instead of input_ids.
            output_attentions: also return every layer's probabilities; None is the configuration's field, here and
                below.
            output_hidden_states: also return the embedding output and every layer's output.
            return_dict: False returns a plain tuple.
            training: whether dropout is on; reaches every layer through Keras' call context.

        Returns:
            `BaseModelOutput`: `last_hidden_state [B, L, C]`; `hidden_states`, layers + 1 of `[B, L, C]`;
            `attentions`, layers of `[B, H, L, L]`. Values at padding positions mean nothing.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        attentions, states, named = self.config.call_options(output_attentions, output_hidden_states, return_dict)
        encoded = self.encode(*inputs, attentions, states)
        values = {
            "last_hidden_state": encoded.last_hidden_state,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        return make_output(self.spec.output, values, named)


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaModel(Backbone, TFDebertaPreTrainedModel):
    """The backbone of DeBERTa v1."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.build()


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2Model(Backbone, TFDebertaV2PreTrainedModel):
    """The backbone of DeBERTa v2 and v3."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.build()
