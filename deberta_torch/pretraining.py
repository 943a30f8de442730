"""Generator and discriminator together: pretraining by replaced-token detection (NUMERICS 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deberta_core.checkpoint import check_pair, checkpoint_folder, read_pair, write_pair
from deberta_core.checkpoint.formats import GENERATOR_FILES
from deberta_core.checkpoint.pairs import BESIDE, SHARINGS, has_position_table
from deberta_core.config import BaseConfig, DebertaConfig, DebertaV2Config
from deberta_core.config_place import GENERATOR_CONFIG
from deberta_core.errors import InputError
from deberta_core.hub import split_hub_options
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.outputs import make_output
from deberta_core.tasks import PreTrainingOutput
from deberta_torch.kernels.eager import wide
from deberta_torch.masks import make_masks
from deberta_torch.tasks import (
    DebertaForMaskedLM,
    DebertaForReplacedTokenDetection,
    DebertaV2ForMaskedLM,
    DebertaV2ForReplacedTokenDetection,
)
from deberta_torch.weights import to_numpy, to_torch


class DisentangledEmbedding(nn.Module):
    """A discriminator's table as the sum of the generator's, to which no gradient goes, and a trained difference.

    Attributes:
        _weight: the difference `[V, E]` (published name), 0 at first.
    """

    def __init__(self, generator: nn.Embedding, padding_idx: int | None, is_trained: bool = True) -> None:
        super().__init__()
        self._generator = (generator,)  # not a part of this module: the generator's own
        self.padding_idx = padding_idx
        self._weight = nn.Parameter(torch.zeros_like(generator.weight), requires_grad=is_trained)

    @property
    def weight(self) -> Tensor:
        """The sum of both tables."""
        return self._generator[0].weight.detach() + self._weight

    def forward(self, ids: Tensor) -> Tensor:
        """`[...]` integers to `[..., E]`: rows of both tables, which are never added as a whole."""
        with torch.no_grad():
            rows = self._generator[0](ids)
        return rows + F.embedding(ids, self._weight, self.padding_idx)


class PreTrainingModel(nn.Module):
    """A generator, which predicts masked tokens, and a discriminator, which tells what was replaced by them.

    One joint step is `forward`, whose `loss` trains both. A decoupled step is `corrupt`, a step of an optimizer of
    `generator.parameters()` on its `mlm_loss`, then `discriminate` of what was corrupted, and a step of an optimizer of
    `discriminator.parameters()` on its `rtd_loss`.

    Args:
        generator_config: of a masked-LM model, usually with half of the layers: `generator_config_of`.
        config: of the discriminator.
        embedding_sharing: "gdes": the discriminator's tables are the generator's, without gradient, plus a difference
            of its own; "es": both have the same ones; "none": each its own.
        rtd_lambda: what the discriminator's loss is multiplied with in `loss`. (Microsoft's code: 10.)
        special_ids: ids that are never drawn, such as `tokenizer.all_special_ids`.
        num_tokens: ids from this on are never drawn, `len(tokenizer)`; None: all are.
        sample_special: draws any id, as Microsoft's code does.
        temperature: what logits are divided by before a token is drawn.

    Attributes:
        generator: the masked-LM model.
        discriminator: the model of replaced-token detection.

    Raises:
        ConfigError: the configurations do not fit (`deberta_core.checkpoint.check_pair`).
        InputError: every id is excluded, or `temperature` is not above 0.
    """

    drawn_ids: Tensor
    config_class: ClassVar[type[BaseConfig]]
    generator_class: ClassVar[Any]
    discriminator_class: ClassVar[Any]

    def __init__(
        self,
        generator_config: BaseConfig,
        config: BaseConfig,
        embedding_sharing: str = SHARINGS[0],
        rtd_lambda: float = 50.0,
        *,
        special_ids: Sequence[int] = (),
        num_tokens: int | None = None,
        sample_special: bool = False,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        for given in (generator_config, config):
            self.config_class.check_class(given, type(self).__name__)
        check_pair(generator_config, config, embedding_sharing)
        if not temperature > 0:
            raise InputError(f"temperature={temperature!r} is not allowed: it must be above 0.")
        self.embedding_sharing, self.rtd_lambda, self.temperature = embedding_sharing, rtd_lambda, temperature
        self.generator = self.generator_class(generator_config)
        self.discriminator = self.discriminator_class(config)
        self._share_tables()
        drawn = torch.ones(config.vocab_size, dtype=torch.bool)
        if not sample_special:
            drawn[config.vocab_size if num_tokens is None else num_tokens :] = False
            drawn[list(special_ids)] = False
        if not drawn.any():
            raise InputError(f"special_ids and num_tokens={num_tokens} leave no id that could be drawn.")
        self.register_buffer("drawn_ids", drawn, persistent=False)

    def _share_tables(self) -> None:
        own, given = self.discriminator.deberta.embeddings, self.generator.deberta.embeddings
        config = self.discriminator.config
        if self.embedding_sharing == "es":
            own.word_embeddings = given.word_embeddings
            if config.position_biased_input:
                own.position_embeddings = given.position_embeddings
            return
        if self.embedding_sharing == "gdes":
            own.word_embeddings = DisentangledEmbedding(given.word_embeddings, config.pad_token_id)
        if has_position_table(config, self.embedding_sharing) and given.position_embeddings is not None:
            is_read = config.position_biased_input
            if self.embedding_sharing == "gdes":
                own.position_embeddings = DisentangledEmbedding(given.position_embeddings, None, is_read)
            elif not is_read:  # only its file has it
                table = nn.Embedding(config.max_position_embeddings, config.embedding_width)
                own.position_embeddings = table.requires_grad_(False)
                self.discriminator.reset_parameters(table)

    @property
    def config(self) -> BaseConfig:
        """The discriminator's configuration."""
        return self.discriminator.config

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        corrupted_ids: Tensor | None = None,
        random: torch.Generator | None = None,
    ) -> Any:
        """A joint step: arguments as for `corrupt`, `[B, L]`.

        Returns:
            `PreTrainingOutput` with everything in it: `loss = mlm_loss + rtd_lambda * rtd_loss`.

        Raises:
            InputError: an input or a label has the wrong shape or a value out of range, or there are no labels.
        """
        inputs = (attention_mask, token_type_ids, position_ids)
        made = self.corrupt(input_ids, *inputs, labels, corrupted_ids, random)
        told = self.discriminate(made.corrupted_ids, *inputs, made.replaced)
        loss = made.mlm_loss + self.rtd_lambda * told.rtd_loss
        return make_output(PreTrainingOutput, {"loss": loss} | _ordered(made, told))

    def corrupt(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        corrupted_ids: Tensor | None = None,
        random: torch.Generator | None = None,
    ) -> Any:
        """Runs the generator, and puts a token drawn from its predictions at each labelled place.

        Args:
            input_ids: `[B, L]`, masked.
            attention_mask: as for every model.
            token_type_ids: likewise.
            position_ids: likewise.
            labels: `[B, L]`, the true ids at the places that are predicted, -100 elsewhere.
            corrupted_ids: `[B, L]`, what was drawn before; None draws.
            random: of the draws; None is torch's own.

        Returns:
            `PreTrainingOutput`: `mlm_loss`, `corrupted_ids`, `replaced` (`[B, L]`: 1 where a drawn id is not the true
            one, else 0; -100 at padding) and `generator_logits [n, V]`. Only the loss and the logits have gradients.

        Raises:
            InputError: as `forward`.
        """
        if labels is None:
            raise InputError("labels are missing. Give the true ids at the masked places, -100 elsewhere.")
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        made = self.generator(*inputs, labels=labels, return_dict=True, labelled_logits_only=True)
        if corrupted_ids is None:
            corrupted_ids = self._drawn(input_ids, labels, made.logits.detach(), random)
        batch, length = input_ids.shape
        tokens = make_masks(attention_mask, batch, length, input_ids.device).tokens
        replaced = ((labels >= 0) & (corrupted_ids != labels)).long().masked_fill(~tokens, IGNORED_LABEL)
        values = {"mlm_loss": made.loss, "corrupted_ids": corrupted_ids, "replaced": replaced}
        return make_output(PreTrainingOutput, values | {"generator_logits": made.logits})

    def discriminate(
        self,
        corrupted_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        replaced: Tensor | None = None,
    ) -> Any:
        """Runs the discriminator on what `corrupt` made.

        Returns:
            `PreTrainingOutput`: `rtd_loss`, without `rtd_lambda`, where `replaced` is given, and `logits [B, L]`.

        Raises:
            InputError: as `forward`.
        """
        inputs = (corrupted_ids, attention_mask, token_type_ids, position_ids)
        told = self.discriminator(*inputs, labels=replaced, return_dict=True)
        return make_output(PreTrainingOutput, {"rtd_loss": told.loss, "logits": told.logits})

    def _drawn(self, input_ids: Tensor, labels: Tensor, logits: Tensor, random: torch.Generator | None) -> Tensor:
        """The input with a draw from softmax(logits / T) at each label: the place of a uniform number in the sums."""
        scores = wide(logits) / self.temperature
        sums = scores.masked_fill(~self.drawn_ids, -torch.inf).softmax(dim=-1).cumsum(dim=-1)  # [n, V]
        shares = torch.rand(len(sums), generator=random, device=random.device if random is not None else sums.device)
        total = sums[:, -1:]
        places = torch.minimum(shares.to(total)[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
        drawn = torch.searchsorted(sums, places, right=True)[:, 0]
        drawn = drawn.clamp(max=sums.shape[1] - 1)  # of logits that are no numbers any id will do: the loss is NaN
        return input_ids.masked_scatter(labels >= 0, drawn.to(input_ids.dtype))

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        generator: str | Path | None = BESIDE,
        embedding_sharing: str | None = None,
        *,
        device: torch.device | str | None = None,
        new_head: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> Self:
        """Builds both models from checkpoints, in evaluation mode and float32.

        Args:
            path: the discriminator's folder or hub id.
            generator: the generator's folder or weight file, by default beside the discriminator; None makes one of the
                discriminator, with a warning.
            embedding_sharing: None is what config.json says, or else "gdes".
            device: where the parameters go.
            new_head: whether the discriminator's head may be missing; it then starts fresh.
            seed: of what starts fresh; None: other numbers every time.
            **options: others of the class, and for a hub id those of `deberta_core.hub.local_folder`.

        Raises:
            ConfigError: a configuration is missing or wrong, or the two do not fit.
            WeightError: weights are missing, damaged, or do not fit; or there is no generator.
        """
        hub, own = split_hub_options(options)
        folder = checkpoint_folder(path, also=(*GENERATOR_FILES, GENERATOR_CONFIG), **hub)
        with read_pair(folder, cls.config_class, generator, embedding_sharing, new_head=new_head, seed=seed) as pair:
            model = cls(pair.generator_config, pair.config, pair.embedding_sharing, **own)
            with torch.no_grad():
                for part, weights in ((model.generator, pair.generator), (model.discriminator, pair.discriminator)):
                    parameters = dict(part.named_parameters())
                    for name in weights:
                        if name in parameters:
                            parameters[name].copy_(to_torch(weights[name]))
        return model.to(device).eval()

    def save_pretrained(self, folder: str | Path, keep_delta: bool = False, format: str = "safetensors") -> None:
        """Writes both models into a folder as published ones lie there; the discriminator is an ordinary checkpoint.

        Args:
            folder: made if need be.
            keep_delta: under "gdes" the differences of the tables are written, too.
            format: "safetensors" or "bin".

        Raises:
            WeightError: another format, or the folder cannot be written, and is as it was.
        """
        (generator_config, generator), (config, discriminator) = map(_named, (self.generator, self.discriminator))
        write_pair(
            folder,
            generator_config,
            config,
            generator,
            discriminator,
            embedding_sharing=self.embedding_sharing,
            keep_delta=keep_delta,
            format=format,
        )


def _named(part: Any) -> tuple[BaseConfig, dict[str, np.ndarray]]:
    """A model's configuration, with its class in it, and its parameters."""
    config: BaseConfig = part.config.replace(extra=part.config.extra | {"architectures": [type(part).__name__]})
    return config, {name: to_numpy(value) for name, value in part.named_parameters()}


def _ordered(made: Any, told: Any) -> dict[str, Any]:
    found = made._asdict() | told._asdict()
    return {name: found[name] for name in PreTrainingOutput.all_fields if name in found}


class DebertaForPreTraining(PreTrainingModel):
    """Replaced-token detection with DeBERTa v1."""

    config_class = DebertaConfig
    generator_class = DebertaForMaskedLM
    discriminator_class = DebertaForReplacedTokenDetection


class DebertaV2ForPreTraining(PreTrainingModel):
    """Replaced-token detection with DeBERTa v2 and v3."""

    config_class = DebertaV2Config
    generator_class = DebertaV2ForMaskedLM
    discriminator_class = DebertaV2ForReplacedTokenDetection
