"""Two runs of the benchmark side by side."""

import json
import sys

from tools.benchmark import __main__ as command
from tools.benchmark.compare import compare
from tools.benchmark.routes import routes
from tools.benchmark.timing import threads


def run(seconds, **more):
    row = {"group": "v3-base", "cell": "1 × 16", "subject": "ours", "seconds": seconds}
    row |= {"seconds_low": seconds * 0.9, "seconds_high": seconds * 1.1}
    return {"sections": {"inference": {"machine": "m", "routes": {"AMX tiles": False}, "rows": [row], **more}}}


def test_what_became_faster_by_more_than_the_spread():
    assert "| v3-base, 1 × 16, ours | 100.0 | 50.0 | 2.00 | faster |" in compare(run(0.1), run(0.05))
    assert "| 100.0 | 200.0 | 0.50 | slower |" in compare(run(0.1), run(0.2))
    assert "| 100.0 | 105.0 | 0.95 | the same within the spread |" in compare(run(0.1), run(0.105))


def test_what_differs_besides_is_told():
    text = compare(run(0.1), run(0.1, machine="other", routes={"AMX tiles": True}))
    assert "* machine: m; then other" in text
    assert "* routes: AMX tiles False; then AMX tiles True" in text
    other = {"sections": {"loading": {"rows": []}}}
    assert "## loading\n\nOnly in the second." in compare(run(0.1), other)
    assert "## inference\n\nOnly in the first." in compare(run(0.1), other)
    fresh = run(0.1)
    fresh["sections"]["inference"]["rows"][0]["subject"] = "ONNX"
    assert "| v3-base, 1 × 16, ONNX | – | 100.0 | – | new |" in compare(run(0.1), fresh)


def test_the_command(tmp_path, monkeypatch, capsys):
    for name, seconds in (("a", 0.1), ("b", 0.05)):
        (tmp_path / name).write_text(json.dumps(run(seconds)))
    monkeypatch.setattr(sys, "argv", ["benchmark", "--compare", str(tmp_path / "a"), str(tmp_path / "b")])
    command.main()
    assert "faster" in capsys.readouterr().out


def test_a_run_tells_its_threads_and_routes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "OMP_NUM_THREADS=2" in threads()
    assert {"AMX tiles", "oneDNN in PyTorch", "MKL in PyTorch"} <= set(routes())
