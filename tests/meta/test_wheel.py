"""What a user installs: the wheel, in an environment with nothing else, runs the command and a pipeline.

`$WHEEL` names one that is built (`make release-check`); without it this builds one.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

# Makes a tiny classifier in the folder that is named.
MAKE_MODEL = """
import sys
from deberta_torch import DebertaV2Config, DebertaV2ForSequenceClassification, DebertaV2Tokenizer

tokenizer = DebertaV2Tokenizer.train(["A film that never loses its nerve."], vocab_size=300, hard_vocab_limit=False)
config = DebertaV2Config.preset(
    "deberta-v3-xsmall", vocab_size=len(tokenizer), num_hidden_layers=1, hidden_size=24, num_attention_heads=2,
    intermediate_size=32, id2label={0: "bad", 1: "good"},
)
DebertaV2ForSequenceClassification(config).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(root, tmp_path_factory) -> Path:
    """The programs of a new environment with the wheel of this repository and PyTorch."""
    folder = tmp_path_factory.mktemp("wheel")
    if "WHEEL" in os.environ:
        wheel = root / os.environ["WHEEL"]
    else:
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, root)
        (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", with_pip=True)
    programs = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
    constraints = root / "constraints.txt"
    run(programs / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{wheel}[torch]")
    return programs


# Builds, makes an environment and installs torch: about a minute.
@pytest.mark.slow
def test_the_wheel_runs_in_a_bare_environment(environment, tmp_path):
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    version = run(environment / "deberta", "--version", cwd=tmp_path, env=bare)
    assert "torch 2.13.0" in version
    assert "keras" not in version
    run(environment / "python", "-c", MAKE_MODEL, "model", cwd=tmp_path, env=bare)
    command = (environment / "deberta", "run", "--task", "text-classification", "--model", "model", "--device", "cpu")
    lines = run(*command, cwd=tmp_path, env=bare, input="A film that never loses its nerve.\nTwo hours.\n").splitlines()
    assert [json.loads(line)["label"] in ("bad", "good") for line in lines] == [True, True]
