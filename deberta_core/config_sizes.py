"""What follows from the fields of a configuration: sizes, and which parts a model has."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from deberta_core.config_rules import NOT_SET

Value = TypeVar("Value")


class Sizes:
    """The derived values of a configuration; the fields they are derived from are those of the subclasses."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    hidden_size: int
    num_attention_heads: int
    attention_head_size: int | None
    embedding_size: int | None
    hidden_dropout_prob: float
    cls_dropout: float | None
    max_position_embeddings: int
    pruned_heads: dict[int, tuple[int, ...]]
    relative_attention: bool
    max_relative_positions: int
    pos_att_type: tuple[str, ...]
    mlm_decoder: str
    num_hidden_layers: int
    position_biased_input: bool

    @property
    def embedding_width(self) -> int:
        """E, the width of the embedding tables."""
        return self.embedding_size or self.hidden_size

    @property
    def head_size(self) -> int:
        """D, the width of one attention head."""
        return self.attention_head_size or self.hidden_size // self.num_attention_heads

    @property
    def max_distance(self) -> int:
        """M of NUMERICS 1, in tokens."""
        return self.max_position_embeddings if self.max_relative_positions < 1 else self.max_relative_positions

    @property
    def buckets(self) -> int:
        """K of NUMERICS 1, the number of position buckets; 0 without them."""
        return max(self._own("position_buckets", NOT_SET), 0)

    @property
    def span(self) -> int:
        """S of NUMERICS 1: half the rows of the relative table."""
        return self.buckets or self.max_distance

    @property
    def table_rows(self) -> int:
        """R, the rows of the relative table `encoder.rel_embeddings`."""
        return 2 * self.span

    @property
    def position_terms(self) -> tuple[str, ...]:
        """The position terms the scores have, of "c2p" and "p2c"; none without relative attention."""
        return self.pos_att_type if self.relative_attention else ()

    @property
    def normalizes_table(self) -> bool:
        """Whether the relative table goes through the encoder's LayerNorm."""
        return self.relative_attention and "layer_norm" in self._own("norm_rel_ebd", "none").split("|")

    @property
    def enhances_decoder(self) -> bool:
        """Whether masked LM has the enhanced decoder, whose queries are made of absolute positions."""
        return self.mlm_decoder == "enhanced"

    @property
    def can_enhance_decoder(self) -> bool:
        """Whether the enhanced decoder fits the other fields."""
        adds_rows = not self.position_biased_input and self.embedding_width == self.hidden_size
        return adds_rows and (self.num_hidden_layers > 1 or not self.convolution_kernel)

    @property
    def mixes_heads(self) -> bool:
        """Whether the scores and probabilities of all heads are mixed (talking heads)."""
        return self._own("talking_head", False)

    @property
    def shares_position_projections(self) -> bool:
        """Whether the relative table goes through the content projections."""
        return self._own("share_att_key", False)

    @property
    def convolution_kernel(self) -> int:
        """The kernel size of the convolution after the first layer, in tokens; 0 without it."""
        return self._own("conv_kernel_size", 0)

    @property
    def convolution_groups(self) -> int:
        """The groups of that convolution."""
        return self._own("conv_groups", 1)

    @property
    def convolution_act(self) -> str:
        """The activation of that convolution."""
        return self._own("conv_act", "tanh")

    @property
    def classifier_dropout(self) -> float:
        """The dropout before the classifier."""
        return self.hidden_dropout_prob if self.cls_dropout is None else self.cls_dropout

    # Sizes of a layer

    def kept_heads(self, layer: int) -> tuple[int, ...]:
        """The numbers of the heads a layer (counted from 0) has, in order: all but the pruned ones."""
        pruned = self.pruned_heads.get(layer, ())
        return tuple(head for head in range(self.num_attention_heads) if head not in pruned)

    def heads_in(self, layer: int) -> int:
        """H, the number of heads a layer has."""
        return self.num_attention_heads - len(self.pruned_heads.get(layer, ()))

    def all_heads_size(self, layer: int) -> int:
        """H * D, the width of all heads of a layer together."""
        return self.heads_in(layer) * self.head_size

    def _own(self, name: str, default: Value) -> Value:
        """A field that only one version has."""
        value: Value = getattr(self, name) if name in self.__dataclass_fields__ else default
        return value
