"""Small models of every head, behind one server."""

from __future__ import annotations

import shutil

import pytest

from deberta_core import DebertaV2Config
from tests.serving.running import server

for needed in ("fastapi", "uvicorn", "prometheus_client", "httpx", "torch"):
    pytest.importorskip(needed)

CHROMIUM = shutil.which("chromium")
HEADS = {
    "classes": ("SequenceClassification", {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}),
    "ranks": ("SequenceClassification", {"num_labels": 1}),
    "names": ("TokenClassification", {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}),
    "reader": ("QuestionAnswering", {}),
    "words": ("MaskedLM", {}),
    "vectors": ("Model", {}),
    "replaced": ("ReplacedTokenDetection", {}),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory, small_tokenizer):
    """A folder for each of `HEADS`."""
    import torch

    import deberta_torch

    made = {}
    for name, (head, fields) in HEADS.items():
        torch.manual_seed(len(name))
        config = DebertaV2Config(
            vocab_size=len(small_tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            position_buckets=8,
            pos_att_type=("p2c", "c2p"),
            share_att_key=True,
            position_biased_input=False,
            max_position_embeddings=64,
            **fields,
        )
        made[name] = tmp_path_factory.mktemp("served") / name
        cls = "DebertaV2Model" if head == "Model" else f"DebertaV2For{head}"
        getattr(deberta_torch, cls)(config).save_pretrained(made[name])
        small_tokenizer.save_pretrained(made[name])
    return made


@pytest.fixture(scope="session")
def page_port(folders):
    """A server of several models that shows the page."""
    with server(*(folders[name] for name in ("classes", "names", "reader", "words", "vectors")), "--page") as (_, port):
        yield port


@pytest.fixture(scope="module")  # its event loop must be gone when others run theirs
def browser():
    """Chromium as the system has it: nothing is downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev-browser)")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page_port):
    """Opens the page; what its scripts complain of, and where it asks, is kept."""

    def open_page(address=f"http://127.0.0.1:{page_port}/", **options):
        page = browser.new_page(**{"viewport": {"width": 1100, "height": 900}, **options})
        page.complaints, page.asked = [], []
        page.on("pageerror", lambda problem: page.complaints.append(str(problem)))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.set_default_timeout(20_000)
        page.goto(address)
        pages.append(page)
        return page

    pages = []
    yield open_page
    for page in pages:
        page.close()
