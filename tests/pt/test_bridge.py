"""What of `as_transformers` can be tested without transformers; `tools/clients/bridge.py` has the rest."""

import sys

import pytest

from deberta_core.errors import InputError
from deberta_torch import as_transformers
from tests.pt.optimized import make


def test_it_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'deberta-dual\[transformers\]'"):
        as_transformers(make("v3_like"))


def test_it_takes_models_of_ours_alone():
    with pytest.raises(InputError, match="takes a model of deberta_torch, not a str"):
        as_transformers("microsoft/deberta-v3-base")
    with pytest.raises(InputError, match="not a Backbone"):
        as_transformers(make("v3_like", "ForMaskedLM").deberta)
