"""Published sizes at full depth and width, with random weights, against the reference; transformers beside them."""

from __future__ import annotations

import pytest

from conformance.suite.adapters import FRAMEWORKS, is_installed
from conformance.suite.compare import worst_errors
from conformance.suite.measure import compare_values
from conformance.suite.report import record
from conformance.suite.subjects import DEEP_NAMES, deep_subject


@pytest.fixture(scope="module", params=DEEP_NAMES)
def case(request):
    return deep_subject(request.param)


@pytest.mark.slow
@pytest.mark.parametrize("framework", [*FRAMEWORKS, "transformers"])
def test_full_depth_and_width(case, framework):
    if not is_installed(framework):
        pytest.skip(f"{framework} is not installed")
    errors = worst_errors(compare_values(case, framework), check=framework in FRAMEWORKS)
    case.models.clear()
    record(case.name, framework, errors)
