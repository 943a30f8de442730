"""What OpenVINO is asked for, and what is said where it cannot do that; without OpenVINO itself."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

from deberta_core.errors import DebertaWarning
from deberta_dual.exporting import onnx_file


@pytest.fixture
def runtime(monkeypatch):
    """OpenVINO as far as a session asks it; `capabilities` are those of its CPU, `settings` what it was given."""
    known = SimpleNamespace(capabilities=["FP32", "INT8"], settings=None)

    class Core:
        def get_property(self, device, name):
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return known.capabilities

        def compile_model(self, file, device, settings):
            known.settings = settings
            return SimpleNamespace(inputs=[], outputs=[])

    monkeypatch.setattr(onnx_file, "needed", lambda package, extra: SimpleNamespace(Core=Core))
    return known


def test_bfloat16_that_would_be_float32_is_said(runtime):
    with pytest.warns(DebertaWarning, match=r"no bfloat16 instructions: OpenVINO computes in float32. Use dtype="):
        onnx_file.openvino_session("model.onnx", "bfloat16")
    assert runtime.settings["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.parametrize(("dtype", "capability"), [("bfloat16", "BF16"), ("float32", "FP32")])
def test_what_the_cpu_can_do_is_done_in_silence(runtime, dtype, capability):
    runtime.capabilities = ["FP32", "INT8", capability]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        onnx_file.openvino_session("model.onnx", dtype)
