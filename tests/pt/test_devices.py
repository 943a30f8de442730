"""Where `from_pretrained` puts a model: devices torch does not have here, and torch's default device."""

import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES
from deberta_core.errors import InputError
from deberta_torch import DebertaV2ForSequenceClassification as Model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    Model(CASES["v3_like"].config).save_pretrained(path)
    return path


# Asked where there is none, torch 2.6 raises an error.
HERE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
ABSENT = [name for name in ("cuda", "cuda:7", "xpu", "mps", "hpu") if name != str(HERE)]


@pytest.mark.parametrize("name", ABSENT)
def test_a_device_that_is_not_here_is_refused(name, folder):
    with pytest.raises(InputError, match=rf"^device='{name}' is no device of torch here: .*\. Give one such as"):
        Model.from_pretrained(folder, device=name)
    for device_map in (name, {"": name}):
        with pytest.raises(InputError, match=r"^device_map.* is no device of torch here"):
            Model.from_pretrained(folder, device_map=device_map)


@pytest.mark.parametrize("dtype", [None, "auto", "bfloat16"])
def test_torchs_default_device_is_ours(folder, dtype):
    with torch.device("meta"):
        model = Model.from_pretrained(folder, dtype=dtype)
    assert {value.device.type for value in (*model.parameters(), *model.buffers())} == {"meta"}
    assert {value.device.type for value in Model.from_pretrained(folder, dtype=dtype).parameters()} == {"cpu"}


def test_a_device_that_is_named_comes_first(folder):
    ids = torch.ones(1, 5, dtype=torch.long)
    with torch.no_grad():
        expected = Model.from_pretrained(folder)(ids).logits
    with torch.device("meta"):
        model = Model.from_pretrained(folder, device="cpu")
        optimized = deberta_torch.optimize(Model.from_pretrained(folder, device="cpu"))
    with torch.no_grad():
        assert torch.equal(model(ids).logits, expected)
        torch.testing.assert_close(optimized(ids).logits, expected)
