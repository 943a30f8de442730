"""Any configuration, not only the named ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import random_inputs, random_params
from conformance.suite.compare import assert_outputs_close
from conformance.suite.strategies import seeds, sides, v2_cases

TASK = "sequence_classification"
# A LayerNorm over a few numbers may divide by any small deviation and so amplify rounding without limit; with this eps
# the yardstick of the wide models holds.
_EPS = 1e-3


@pytest.mark.parametrize("framework", FRAMEWORKS)
@settings(deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=v2_cases(), seed=seeds, side=sides)
def test_any_configuration(framework, case, seed, side):
    config = case.config.replace(layer_norm_eps=_EPS)
    params = random_params(config, TASK, seed)
    inputs = random_inputs(config, case.length, seed, side=side)
    expected = ReferenceAdapter(config, TASK, params).forward(inputs)
    actual = FRAMEWORKS[framework](config, TASK, params).forward(inputs)
    assert_outputs_close(actual, expected, np.asarray(inputs["attention_mask"], bool))
