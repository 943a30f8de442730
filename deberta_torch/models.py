"""The backbone, and what every model has: configuration, initialisation, loading and saving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from deberta_core.checkpoint import checkpoint_folder, load_config
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.errors import ConfigError, InputError
from deberta_core.names.loading import LOADING, SAVING
from deberta_core.names.rows import with_other_names
from deberta_core.outputs import make_output
from deberta_core.parameters import UNUSED_NAMES
from deberta_core.tasks import BACKBONE_PREFIX, TaskSpec, task_spec
from deberta_torch import weights
from deberta_torch.checks import check_call
from deberta_torch.embeddings import Embeddings
from deberta_torch.encoder import Encoder, checkpoint_arguments
from deberta_torch.kernels.attention_functions import AttentionUsed, check_attn_implementation
from deberta_torch.masks import Masks, make_masks
from deberta_torch.model_names import ModelNames
from deberta_torch.surgery import Resizable


class Encoded(NamedTuple):
    """What a backbone hands to a head."""

    last_hidden_state: Tensor  # [B, L, C]; of masked LM [n, C], where its head is to read some tokens alone
    masks: Masks
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class PreTrainedModel(Resizable, ModelNames):
    """Base of all models; raises `ConfigError` for the configuration of another version.

    A class of one's own has a `DebertaModel` or `DebertaV2Model` as an attribute of any name, and other layers:
    `from_pretrained` fills the backbone from any checkpoint, names the rest as new, and `save_pretrained` writes both.

    Attributes:
        config: the configuration; not to be changed after construction.
        config_class: the configuration's type.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone.
    """

    config_class: ClassVar[type[BaseConfig]]
    task: ClassVar[str | None] = None

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        if hasattr(self, "config_class"):  # a backbone inside a task model has none
            self.config_class.check_class(config, type(self).__name__)
        self.config = config

    @property
    def spec(self) -> TaskSpec:
        """The row of this model's task."""
        return task_spec(self.task)

    @property
    def base_model(self) -> Backbone:
        """The backbone: this model itself, or the first one in it.

        Raises:
            InputError: there is none.
        """
        for module in self.modules():
            if isinstance(module, Backbone):
                return module
        raise InputError(f"{type(self).__name__} has no backbone. Make one of its attributes a DebertaV2Model.")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The float type of the parameters."""
        return next(self.parameters()).dtype

    def reset_parameters(self, *parts: nn.Module) -> None:
        """Draws fresh weights: normal(0, `initializer_range`), the padding row and biases 0, LayerNorm 1 and 0.

        Args:
            *parts: the modules to draw for; none are all of this model.
        """
        for part in parts or (self,):
            part.apply(self._init_weights)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Trains in less memory: what a layer computed inside is computed again in the backward pass.

        Loss and gradients stay the same to the last bit. In evaluation mode nothing changes.

        Args:
            gradient_checkpointing_kwargs: arguments of `torch.utils.checkpoint.checkpoint`. `use_reentrant` is always
                False; for True there is a warning, and the gradients are the same.
        """
        self._encoder.checkpointing = checkpoint_arguments(gradient_checkpointing_kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """Undoes `gradient_checkpointing_enable`."""
        self._encoder.checkpointing = None

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether `gradient_checkpointing_enable` is in force."""
        return self._encoder.checkpointing is not None

    @property
    def attn_implementation(self) -> str:
        """How attention is computed, one of the names of `set_attn_implementation`."""
        return self._encoder.attn_implementation

    @property
    def attn_implementation_used(self) -> AttentionUsed | None:
        """How the last forward pass computed attention: `implementation`, and the `reason` where that is another."""
        return self._encoder.attention_used

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Chooses how attention is computed; the numbers are the same but for rounding.

        Eager attention serves wherever another implementation cannot, decided for each call: where attentions are
        returned, with talking heads, on the CPU while gradients are recorded (training there is as fast with it), and
        for "flex" with dropout and in models compiled for the CPU. Where "triton" cannot run, "sdpa" serves.
        `attn_implementation_used` says which one did, and why. The choice is no part of the configuration and is not
        saved.

        Args:
            attn_implementation: "sdpa", the default: torch's `scaled_dot_product_attention`, in memory that grows
                linearly with the length; "eager": step by step; "flex": torch's `flex_attention`, for compiled models
                on GPUs; "triton": our kernels for NVIDIA GPUs, forward and backward, in memory that grows linearly;
                "triton-atomic": the same, but that sums of the relative tables' gradients are quicker, and differ in
                the last digits from run to run; where `torch.use_deterministic_algorithms(True)` is in force it is
                "triton".

        Raises:
            InputError: the name is unknown, or this version of torch has no flex attention.
        """
        self._encoder.attn_implementation = check_attn_implementation(attn_implementation)

    @property
    def _encoder(self) -> Encoder:
        return self.base_model.encoder

    @classmethod
    @with_other_names(LOADING, ConfigError)
    def from_pretrained(
        cls,
        path: str | Path | None,
        config: BaseConfig | None = None,
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        device_map: str | torch.device | Mapping[str, Any] | None = None,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        attn_implementation: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        force_download: bool = False,
        subfolder: str | None = None,
        **config_overrides: Any,
    ) -> Self | tuple[Self, Any]:
        """Builds a model from a checkpoint folder, in evaluation mode.

        Bare and task checkpoints cross: a backbone is read out of a task checkpoint and the reverse.

        Args:
            path: a folder with config.json and weights in any of `deberta_core.checkpoint.FORMATS`, in one file or
                several; such a file, with config.json beside it; or a hub id. None where both of the next are given.
            config: used as it is instead of the folder's config.json. That may lack `legacy`; then the weights' names
                say which masked-LM head it is.
            state_dict: parameters to take, copied, instead of those of a file; they are judged as a file's are.
            dtype: of the parameters, a torch dtype or its name; None is float32, "auto" keeps the file's.
            device: where the parameters go; None is torch's default device, the CPU unless `torch.device` is used as a
                context. On "meta" they have shapes and dtypes and take no memory; no numbers are read.
            device_map: instead of `device`, in transformers' spelling: one device; "auto"; or a dict of devices by
                names of modules, "" for all others. "auto" is the best device there is, or all accelerators of its kind
                where there are several and `accelerate` is installed: the layers are spread over them. In a dict the
                embeddings, a layer and the convolution each stay whole, and the decoder of a masked-LM model with the
                word embeddings. Several parts need `accelerate`; each computes where it is, also those on the CPU, and
                results return to the device of the inputs. (This was tested on the CPU, and for devices and shapes with
                simulated accelerators, but never on several GPUs.)
            new_head: a missing head is initialised without a word.
            ignore_mismatched_sizes: parameters whose shape differs are initialised, with a warning.
            output_loading_info: also return the `LoadReport`.
            attn_implementation: how attention is computed, as for `set_attn_implementation`; None is "sdpa".
            revision: of a hub id: a branch, tag or commit.
            cache_dir: where downloads are kept; None is the hub's own place.
            local_files_only: use no network.
            token: for repositories that are not public.
            force_download: download again what is in the cache.
            subfolder: a folder inside of the folder or repository that is meant.
            **config_overrides: fields of the configuration to change, also `output_hidden_states`,
                `output_attentions` and `return_dict`, what a call returns that does not say so itself. Names of
                transformers, such as `torch_dtype`, are in `deberta_core.names.loading`.

        Raises:
            ConfigError: config.json is missing, wrong or another model's.
            InputError: `dtype`, `device`, `device_map` or `attn_implementation` is none that is known, or that torch
                has here, as "cuda" without CUDA; both `device` and `device_map` are given; or `device_map` does not
                fit the model, or needs `accelerate`.
            WeightError: a weight file is missing or broken, or parameters are missing, unexpected or mis-shaped. Only
                a missing pooler and classifier are initialised, with a warning that names them.
        """
        if attn_implementation is not None:
            check_attn_implementation(attn_implementation)
        given = None if state_dict is None else weights.held(state_dict)
        if given is None or config is None:
            folder = checkpoint_folder(
                path,
                with_config=config is None,
                with_weights=given is None,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
                force_download=force_download,
                subfolder=subfolder,
            )
        if config is None:
            config_overrides = {"name_or_path": str(path), **config_overrides}
            config = load_config(cls.config_class, folder, cls.task, config_overrides, weights=given)
        elif config_overrides:
            config = config.replace(**config_overrides)
        model, report = weights.load(
            cls,
            config,
            folder if state_dict is None else weights.held(state_dict),  # the other may be closed
            dtype=dtype,
            device=device,
            device_map=device_map,
            new_head=new_head,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return (model, report) if output_loading_info else model

    @with_other_names(SAVING)
    def save_pretrained(
        self,
        folder: str | Path,
        max_shard_size: int | str | None = "5GB",
        format: str = "safetensors",
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        is_main_process: bool = True,
    ) -> None:
        """Writes config.json and the weights into `folder`, which is made if need be; a model there is replaced as one.

        Args:
            folder: where to.
            max_shard_size: bytes, or a text such as "5GB", above which the weights go into several files and an index;
                None for one file.
            format: a name of `deberta_core.checkpoint.FORMATS`.
            state_dict: the parameters to write instead of the model's own, as gathered from several processes.
            is_main_process: False writes nothing: another process does.

        Raises:
            WeightError: an unknown format, or one that cannot hold the parameters' dtype, or several files; or the
                folder cannot be written, and is as it was.
            InputError: `max_shard_size` is no size.
        """
        if is_main_process:
            weights.save(self, Path(folder), max_shard_size, format, state_dict)


class DebertaPreTrainedModel(PreTrainedModel):
    """Base of the models of DeBERTa v1."""

    config_class = DebertaConfig


class DebertaV2PreTrainedModel(PreTrainedModel):
    """Base of the models of DeBERTa v2 and v3."""

    config_class = DebertaV2Config


class Backbone(PreTrainedModel):
    """Embeddings and encoder, of every version; `with_positions` adds the table that the enhanced decoder reads."""

    def __init__(self, config: BaseConfig, with_positions: bool = False) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config, with_positions)
        self.encoder = Encoder(config)
        self.reset_parameters()
        self.register_load_state_dict_pre_hook(_drop_left_overs)

    def encode(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        decodes: bool = False,
        rows: Tensor | None = None,
    ) -> Encoded:
        """The forward pass without the packing of its result.

        Arguments are as for `forward`, unchecked. With `decodes` the last hidden state is the enhanced mask decoder's;
        with `rows`, `[n]` integers, it is wanted at these tokens of the flattened batch alone.
        """
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        assert tokens is not None
        outputs = None
        if self.encoder.packed is not None and not self.training and inputs_embeds is None and not output_attentions:
            named = {"input_ids": input_ids, "token_type_ids": token_type_ids, "position_ids": position_ids}
            outputs = self.encoder.packed.embed_and_encode(named, attention_mask, bool(output_hidden_states), decodes)
        # Only now: packed layers read the caller's mask themselves, and a device is at work with them already.
        masks = make_masks(attention_mask, tokens.shape[0], tokens.shape[1], tokens.device)
        if outputs is None:
            embedded = self.embeddings(masks.tokens, input_ids, token_type_ids, position_ids, inputs_embeds)
            outputs = self.encoder(
                embedded, masks, bool(output_hidden_states), bool(output_attentions), skips_last=decodes
            )
        hidden, hidden_states, attentions, last_input = outputs
        if decodes:
            positions = self.embeddings.position_rows(position_ids, tokens.shape[1])
            hidden = self.encoder.decode(last_input, positions, masks, rows)
        elif rows is not None:
            hidden = hidden.flatten(0, 1)[rows]
        return Encoded(hidden, masks, hidden_states, attentions)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: None = None,
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
            labels: refused: a backbone has no loss.

        Returns:
            `BaseModelOutput`: `last_hidden_state [B, L, C]`; `hidden_states`, layers + 1 of `[B, L, C]`;
            `attentions`, layers of `[B, H, L, L]`. Values at padding positions mean nothing.

        Raises:
            InputError: an input has the wrong shape or a value out of range (values are checked on the CPU; on devices
                see `asserting_on_devices`), or labels are given.
        """
        if labels is not None:
            raise InputError(f"labels: {type(self).__name__} has no loss. Use the class of a task, ...For...")
        attentions, states, named = self.config.call_options(output_attentions, output_hidden_states, return_dict)
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        check_call(self.config, self.spec, inputs)
        encoded = self.encode(*inputs, attentions, states)
        values = {
            "last_hidden_state": encoded.last_hidden_state,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        return make_output(self.spec.output, values, named)


def _drop_left_overs(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Takes out of a state dict what published files hold although a model of their configuration does not use it."""
    own = model.state_dict().keys()
    for name in {name.removeprefix(BACKBONE_PREFIX) for name in UNUSED_NAMES} - own:
        state.pop(prefix + name, None)


class DebertaModel(Backbone, DebertaPreTrainedModel):
    """The backbone of DeBERTa v1."""


class DebertaV2Model(Backbone, DebertaV2PreTrainedModel):
    """The backbone of DeBERTa v2 and v3."""
