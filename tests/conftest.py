"""Fixtures that several folders of tests need."""

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from deberta_core import DebertaV2Config
from deberta_core.parameters import Array, expand
from deberta_core.tokenization import DebertaTokenizerFast, DebertaV2Tokenizer, DebertaV2TokenizerFast
from tests.hub import Hub

# Triton decides when it is imported whether kernels are interpreted: before any test has torch import it.
if importlib.util.find_spec("triton") and importlib.util.find_spec("torch"):
    import conformance.suite.interpreted  # noqa: F401

# Real sentences, enough for a vocabulary of 500 tokens; nothing outside the repository is needed.
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

RandomWeights = Callable[..., dict[str, Array]]


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a loss of power."""
    real, os.fsync = os.fsync, lambda handle: None
    yield
    os.fsync = real


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the repository, or $DEBERTA_SHARED."""
    beside = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("DEBERTA_SHARED", beside))
    if not (folder / "goldens").is_dir():
        pytest.skip(f"{folder} has no goldens; set DEBERTA_SHARED")
    return folder


@pytest.fixture(scope="session")
def small_config() -> DebertaV2Config:
    """A two-layer model with every optional part but token types; E, C, F and R all differ, so that swaps show."""
    return DebertaV2Config(
        vocab_size=40,
        hidden_size=16,
        embedding_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=32,
        pos_att_type=("c2p", "p2c"),
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        conv_kernel_size=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
    )


@pytest.fixture(scope="session")
def random_weights() -> RandomWeights:
    """Makes the weights of a model: `random_weights(config, task, dtype="float32")`."""

    def make(config: DebertaV2Config, task: str | None, dtype: str = "float32") -> dict[str, Array]:
        import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16

        random = np.random.default_rng(7)
        return {
            name: random.normal(0.0, 0.1, parameter.shape).astype(dtype)
            for name, parameter in expand(config, task).items()
        }

    return make


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Real sentences, enough for a vocabulary of 500 tokens."""
    return PROSE


@pytest.fixture(scope="session")
def small_tokenizer(prose: list[str]) -> DebertaV2Tokenizer:
    """A tokenizer trained on `prose`; tests must not change it."""
    return DebertaV2Tokenizer.train(prose, 500, model_max_length=64)


@pytest.fixture(scope="session")
def small_byte_tokenizer(prose: list[str]) -> DebertaTokenizerFast:
    """A v1 tokenizer trained on `prose`; tests must not change it."""
    return DebertaTokenizerFast.train(prose, 500, model_max_length=64)


@pytest.fixture(scope="session")
def small_fast_tokenizer(small_tokenizer) -> DebertaV2TokenizerFast:
    """`small_tokenizer`'s vocabulary in the fast class; tests must not change it."""
    return DebertaV2TokenizerFast(small_tokenizer.serialized_model, model_max_length=64)


@pytest.fixture
def hub_server(monkeypatch, tmp_path) -> Iterator[Hub]:
    """An empty model hub on this machine, which `huggingface_hub` uses instead of the real one, with an empty cache."""
    pytest.importorskip("huggingface_hub")
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    for module in ("constants", "file_download"):  # before version 1 that one kept the name of its own
        monkeypatch.setattr(f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between attempts
    yield server
    server.shutdown()
    server.server_close()
