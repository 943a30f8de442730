"""Fixtures of the core tests: the data beside the repository, and a small vocabulary that needs nothing."""

import os
from pathlib import Path

import pytest

from deberta_core.tokenization import DebertaV2Tokenizer

PROSE = """
The river rises in the hills above the old town and runs for ninety miles before it meets the sea.
In spring the water is high and brown, and the lower fields are flooded; by August one can wade across at the mill.
"Nobody builds there now," said the ferryman, "but my grandfather's house stood by that poplar, didn't it?"
There were 1,204 people in the valley in 1871, and no more than 320 in 1951: most had gone to work in the factories.
A map of 1790 shows three bridges. Two were of wood; the third, of stone, is still in use, though lorries may not cross.
What does a river remember? Its stones are round, its banks are steep on the outside of every bend, and its bed moves.
When the dam was finished the trout disappeared, then the herons, and finally the people who had lived from fishing.
Engineers measured the flow every morning at seven o'clock and wrote the numbers into a blue book, which has been lost.
Das Wasser ist kalt und klar, sagte sie, und im Winter friert es nur an den Rändern zu.
L'été, les enfants se baignent près du pont; à l'automne, on ramasse les feuilles à la dérive.
The committee asked for a study, this asked for money, the money came eleven years later, and all had forgotten why.
Willows were planted along the western bank, and within ten years the erosion had stopped almost completely.
It's a quiet place: a kingfisher, a few anglers, the noise of the weir, and on Sundays the bells of St. Mary's.
Those who walk the whole length need five days; the path is marked with white arrows, and most villages have an inn.
Children are told that a giant sleeps under the weir, and that he'll wake when the last stone of the mill has fallen.
""".strip().split("\n")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden files and published vocabularies."""
    folder = Path(os.environ.get("DEBERTA_SHARED", Path(__file__).parents[3] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set DEBERTA_SHARED to the folder with goldens/ and data/")
    return folder


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Real sentences, enough for a vocabulary of 500 tokens."""
    return PROSE


@pytest.fixture(scope="session")
def small_tokenizer(prose: list[str]) -> DebertaV2Tokenizer:
    """A tokenizer trained on `prose`; tests must not change it."""
    return DebertaV2Tokenizer.train(prose, 500, model_max_length=64)
