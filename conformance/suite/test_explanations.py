"""What explanations show, the parts of attention scores, in every framework against the reference."""

from __future__ import annotations

import pytest

from conformance.suite.adapters import FRAMEWORKS
from conformance.suite.compare import worst_errors
from conformance.suite.measure import compare_explanations
from conformance.suite.report import record
from conformance.suite.subjects import EXPLANATION_RUNS, subject


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("run", EXPLANATION_RUNS, ids="-".join)
def test_parts_of_scores(framework, run):
    case = subject(*run)
    errors = worst_errors(compare_explanations(case, framework), check=True)
    record(f"{case.name}, explanations", framework, errors)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_exchanged_parts_are_found(framework, monkeypatch):
    """Though their sum is right."""
    case, names = subject("v3_like"), {"c2p": "p2c", "p2c": "c2p", "content": "content"}
    model = case.model(framework)
    parts = {name.rpartition("."): values for name, values in model.score_parts(case.inputs).items()}
    exchanged = {f"{layer}.{names[part]}": values for (layer, _, part), values in parts.items()}
    monkeypatch.setattr(model, "score_parts", lambda inputs: exchanged)
    with pytest.raises(AssertionError, match=r"scores\.0\.(c2p|p2c): .* times the bound"):
        worst_errors(compare_explanations(case, framework), check=True)
