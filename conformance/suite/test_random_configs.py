"""Any configuration of any task, not only the named ones."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import LABEL_SETTINGS, folded_mask, random_params, task_inputs
from conformance.suite.compare import assert_outputs_close
from conformance.suite.strategies import cases, seeds, sides, tasks


@pytest.mark.parametrize("framework", FRAMEWORKS)
@settings(deadline=None, max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), task=tasks, seed=seeds, side=sides)
def test_any_configuration(framework, case, task, seed, side):
    settings = list(LABEL_SETTINGS[task])
    setting = settings[seed % len(settings)]
    config = case.config.replace(**LABEL_SETTINGS[task][setting])
    params = random_params(config, task, seed)
    inputs = task_inputs(config, task, setting, case.length, seed, side)
    expected = ReferenceAdapter(config, task, params).forward(inputs)
    actual = FRAMEWORKS[framework](config, task, params).forward(inputs)
    assert_outputs_close(actual, expected, folded_mask(inputs))
