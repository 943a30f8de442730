"""What ONNX Runtime makes of our graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from conformance.suite.cases import random_params
from conformance.suite.compare import assert_outputs_close
from deberta_core import DebertaV2Config
from deberta_dual.exporting.onnx_file import onnx_session, write_onnx

runtime = pytest.importorskip("onnxruntime")


@pytest.fixture
def file(tmp_path):
    config = DebertaV2Config.preset("deberta-v3-xsmall", num_hidden_layers=2, vocab_size=50)
    write_onnx(tmp_path / "model.onnx", config, random_params(config, None), None, dtype="int8")
    return tmp_path / "model.onnx"


def operators(file):
    return {node.op_type for node in onnx.load(file).graph.node}


def test_sums_and_norms_stay_apart(file, monkeypatch):
    made = file.with_name("made.onnx")

    class Options(runtime.SessionOptions):
        def __init__(self):
            super().__init__()
            self.optimized_model_filepath = str(made)

    ids = np.arange(6).reshape(1, 6)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    options = Options()
    options.log_severity_level = 3
    usual = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    expected = {"last_hidden_state": usual.run(None, given)[0]}
    assert "SkipLayerNormalization" in operators(made)

    monkeypatch.setattr(runtime, "SessionOptions", Options)
    found = onnx_session(file)(given)
    assert "SkipLayerNormalization" not in operators(made)
    # Another order of sums moves single activations by one of the 255 steps.
    assert_outputs_close(found, expected, np.ones(ids.shape, dtype=bool), quantity="optimized int8")
