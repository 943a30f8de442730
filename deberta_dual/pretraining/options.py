"""What the batches of a corpus depend on, besides its text and the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from deberta_core.arguments import row_of
from deberta_core.collation.gram_masking import MaskingRule
from deberta_core.collation.packing import PACKINGS
from deberta_dual.pipelines.examples import check_count


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What the batches of a corpus depend on, besides its text and the tokenizer.

    Args:
        rule: what is masked, and by what.
        packing: "documents": several in a row, none of which sees another; "text": one behind the other as one text.
        length: of rows, in tokens.
        batch_size: rows of a step, over all processes.
        seed: of the order of files and rows, and of the masks.
        epochs: how often the corpus is read; None: without end.
        shuffle: the text whose rows are shuffled together, in Mi characters; 0: rows come in the order of the text. A
            process holds the rows of twice this text, about 3.5 bytes for a character.

    Raises:
        InputError: a number is not allowed, or there is no such packing.
    """

    rule: MaskingRule
    packing: str = "documents"
    length: int = 512
    batch_size: int = 64
    seed: int = 0
    epochs: int | None = None
    shuffle: int = 16

    def __post_init__(self) -> None:
        row_of(PACKINGS, "packing", self.packing)
        for name, least in (("length", 3), ("batch_size", 1), ("seed", 0), ("shuffle", 0)):
            check_count(name, getattr(self, name), least=least)
        check_count("epochs", self.epochs, none="for no end")
