"""`tools/gpu/check.py` runs without a GPU, so that a session with one loses no minute to a line that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What is not here: other libraries. Their rows say so, and the sections go on.
ABSENT = ("No module named 'transformers'", "No module named 'disentangled_flash'", "No module named 'flashdeberta'")


@pytest.mark.parametrize(
    "sections",
    [
        "kernels",
        pytest.param("waiting,graphs,inference,mixed,training,profile,goldens,compiled_transformers",
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_sections_run_to_their_end_and_write_rows(sections, tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, str(ROOT / "tools" / "gpu" / "check.py"), "--device", "cpu", "--tiny", "--full"]
    command += ["--sections", sections, "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in sections.split(","):
        assert f"-- {name}: " in done.stdout
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert rows[0]["section"] == "machine"
    wrong = [row for row in rows if "error" in row and not _is_number(row["error"])]
    assert [row for row in wrong if not any(name in row["error"] for name in ABSENT)] == []
    assert not [row for row in rows if row.get("failed")]
    if sections == "kernels":
        assert [row["subject"] for row in rows[1:]] == [f"one text of 100 tokens, reach {n}" for n in (20, 99)]


def _is_number(text):
    try:
        return float(text) < 1
    except ValueError:
        return False
