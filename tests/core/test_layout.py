"""Which folders `--force` may replace."""

import pytest

from deberta_core import WeightError
from deberta_core.layout import refuse_foreign
from deberta_core.staging import STAGING


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["config.json", "model.safetensors", "README.md", "spm.model", "1_Pooling/config.json"],
        ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "LICENSE"],
        ["training.json"],
        ["config.json", f"{STAGING}/plan.json"],
        ["config.json", "pytorch_model.bin", "metrics.jsonl", "training.json", "training/state.pt"],
    ],
)
def test_checkpoints_may_be_replaced(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    refuse_foreign(tmp_path, WeightError)
    refuse_foreign(tmp_path / "absent", WeightError)


@pytest.mark.parametrize(
    "name",
    ["thesis.txt", "sub/thesis.txt", "training/thesis.txt", "1_Pooling/thesis.txt", ".git/HEAD", "README.md", "empty/"],
)
@pytest.mark.parametrize("beside", ["config.json", None])
def test_other_folders_may_not(tmp_path, name, beside):
    if beside:
        (tmp_path / beside).touch()
    if beside and name == "README.md":
        (tmp_path / "Readme.txt").touch()
        name = "Readme.txt"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    with pytest.raises(WeightError, match=f"so --force does not replace it: it holds {name.rstrip('/')}"):
        refuse_foreign(tmp_path, WeightError)
