"""The task models: a backbone, a head and a loss each."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from deberta_core.config import BaseConfig, DebertaV2Config
from deberta_core.outputs import make_output
from deberta_torch.checks import check_call
from deberta_torch.heads import ContextPooler
from deberta_torch.losses import mean_loss, sequence_classification_losses
from deberta_torch.models import Backbone, DebertaPreTrainedModel


class PooledModel(DebertaPreTrainedModel):
    """A classifier over the context token."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.deberta = Backbone(config)  # published name
        self.pooler = ContextPooler(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.reset_parameters(self.pooler, self.classifier)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
    ) -> Any:
        """Classifies a batch of texts.

        Args:
            input_ids: and the other inputs as for `Backbone.forward`.
            attention_mask: see there.
            token_type_ids: see there.
            position_ids: see there.
            inputs_embeds: see there.
            labels: `[B]` classes in [0, N) (-100 is ignored), `[B]` or `[B, N]` numbers for regression, `[B, N]` of
                0 and 1 for multi-label, or `[B, N]` distributions; `problem_type` decides, else the shape.
            output_attentions: see there.
            output_hidden_states: see there.
            return_dict: see there.

        Returns:
            `SequenceClassifierOutput`: `loss` (a scalar, where labels were given), `logits [B, N]`, and on request
            `hidden_states` and `attentions`.

        Raises:
            InputError: an input or the labels have the wrong shape or a value out of range.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        check_call(self.config, self.spec, inputs, {"labels": labels})
        encoded = self.deberta.encode(*inputs, output_attentions, output_hidden_states)
        pooled = self.pooler(encoded.last_hidden_state, encoded.token_mask)
        logits = self.classifier(self.dropout(pooled))
        values = {
            "loss": None if labels is None else mean_loss(*sequence_classification_losses(self.config, logits, labels)),
            "logits": logits,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        return make_output(self.spec.output_name, values, return_dict)


class DebertaV2ForSequenceClassification(PooledModel):
    """Sequence classification with DeBERTa v2 and v3: single label, multi-label, regression, soft labels."""

    config_class = DebertaV2Config
    task = "sequence_classification"
