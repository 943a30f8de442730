"""Loading and saving: formats, crossing between tasks, what is missing, dtypes, overrides."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import deberta_torch
from conformance.convert.task import find_task
from conformance.suite.cases import CASES
from deberta_core import ConfigError, DebertaV2Config, DebertaWarning, InputError, WeightError
from deberta_core.checkpoint import load_config, open_weights
from deberta_core.tasks import task_spec
from deberta_torch import DebertaV2ForSequenceClassification, DebertaV2Model
from deberta_torch.weights import to_numpy, to_torch
from tests.crash_points import stop_everywhere

CONFIG = CASES["v2_conv_groups"].config.replace(num_labels=3, extra={"mark": 1})
FORMATS = pytest.mark.parametrize("format", ["safetensors", "h5"])
HEAD = {"pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"}
IDS = torch.arange(14).reshape(2, 7) + 5


def noisy(cls, config=CONFIG, seed=0):
    """A model whose every parameter, biases and norms too, is random."""
    model = cls(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.5, generator=generator)
    return model


def assert_same(model, other, names=None):
    one, two = model.state_dict(), other.state_dict()
    names = set(one) if names is None else names
    assert names <= set(two)
    assert all(torch.equal(one[name], two[name]) for name in names)


@pytest.fixture
def bare(tmp_path):
    model = noisy(DebertaV2Model)
    model.save_pretrained(tmp_path / "bare")
    return model, tmp_path / "bare"


@pytest.fixture
def task(tmp_path):
    model = noisy(DebertaV2ForSequenceClassification)
    model.save_pretrained(tmp_path / "task")
    return model, tmp_path / "task"


@FORMATS
@pytest.mark.parametrize("cls", [DebertaV2Model, DebertaV2ForSequenceClassification])
def test_a_round_trip_is_exact(cls, format, tmp_path):
    model = noisy(cls).train()
    model.save_pretrained(tmp_path / "a" / "b", format=format)
    assert model.training
    again = cls.from_pretrained(str(tmp_path / "a" / "b"))
    assert type(again) is cls
    assert not again.training
    assert_same(model, again)
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in again.parameters())
    assert again.config == model.config.replace(extra={"mark": 1, "architectures": [cls.__name__]})
    assert torch.equal(again(IDS)[0], model.eval()(IDS)[0])
    file = json.loads((tmp_path / "a" / "b" / "config.json").read_text())
    assert file["architectures"] == [cls.__name__]
    assert model.config.extra == {"mark": 1}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_survives_and_is_asked_for(dtype, tmp_path):
    model = noisy(DebertaV2Model).to(dtype)
    model.save_pretrained(tmp_path)
    kept = DebertaV2Model.from_pretrained(tmp_path, dtype="auto")
    assert {parameter.dtype for parameter in kept.parameters()} == {dtype}
    assert_same(model, kept)
    wide = DebertaV2Model.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}
    assert_same(model.float(), wide)
    assert kept.encoder.position_index.dtype == torch.int64


def test_dtype_of_the_parameters(bare):
    model, folder = bare
    half = DebertaV2Model.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert_same(model.to(torch.bfloat16), half)
    assert DebertaV2Model.from_pretrained(folder, dtype="bfloat16").dtype == torch.bfloat16
    for wrong in ("halves", "int8", torch.int8, "nn"):
        with pytest.raises(InputError, match=r"dtype=.* is unknown\. Give a float type of torch"):
            DebertaV2Model.from_pretrained(folder, dtype=wrong)


def test_a_fresh_head_has_the_files_dtype(bare, tmp_path):
    """Otherwise the model cannot run."""
    bare[0].bfloat16().save_pretrained(tmp_path / "half")
    model = DebertaV2ForSequenceClassification.from_pretrained(tmp_path / "half", dtype="auto", new_head=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(IDS).logits.dtype == torch.bfloat16


def test_bfloat16_does_not_fit_into_h5(bare, tmp_path):
    with pytest.raises(WeightError, match="bfloat16"):
        bare[0].bfloat16().save_pretrained(tmp_path / "h5", format="h5")


def test_an_unknown_format_lists_the_known(bare, tmp_path):
    with pytest.raises(WeightError, match=r"'zip'.*safetensors"):
        bare[0].save_pretrained(tmp_path / "zip", format="zip")


# Crossing


@FORMATS
def test_a_backbone_is_read_out_of_a_task_checkpoint(format, tmp_path):
    model = noisy(DebertaV2ForSequenceClassification)
    model.save_pretrained(tmp_path, format=format)
    backbone, report = DebertaV2Model.from_pretrained(tmp_path, output_loading_info=True)
    assert_same(backbone, model.deberta)
    assert set(report.dropped) == HEAD
    assert report.missing == report.unexpected == report.mismatched == ()


@FORMATS
def test_a_task_model_starts_from_a_backbone(format, tmp_path):
    backbone = noisy(DebertaV2Model)
    backbone.save_pretrained(tmp_path, format=format)
    torch.manual_seed(0)
    with pytest.warns(DebertaWarning, match=r"classifier\.bias, classifier\.weight, pooler\.dense\.bias, pooler"):
        model, report = DebertaV2ForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert_same(backbone, model.deberta)
    assert set(report.missing) == HEAD
    assert not model.classifier.bias.any()
    assert not model.pooler.dense.bias.any()
    assert 0.01 < model.pooler.dense.weight.std().item() < 0.03


def test_a_fresh_head_is_reproducible_and_silent_when_asked_for(bare):
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = DebertaV2ForSequenceClassification.from_pretrained(bare[1], new_head=True)
        heads.append(model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])


def test_half_of_a_head_is_filled_and_half_fresh(task, tmp_path):
    from safetensors.torch import load_file, save_file

    model, folder = task
    state = load_file(folder / "model.safetensors")
    del state["pooler.dense.bias"]
    save_file(state, folder / "model.safetensors")
    with pytest.warns(DebertaWarning, match=r"has no pooler\.dense\.bias\. They start fresh"):
        again = DebertaV2ForSequenceClassification.from_pretrained(folder)
    assert_same(model, again, set(state))
    assert not again.pooler.dense.bias.any()


# What does not fit


def changed_file(folder, change):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("encoder.layer.1.output.dense.bias"),
            r"missing \(1\): encoder\.layer\.1\.output\.dense\.bias",
        ),
        (lambda s: s.update(other=torch.zeros(2)), r"unexpected \(1\): other"),
        (
            lambda s: s.update({"encoder.LayerNorm.bias": torch.zeros(3)}),
            r"of another shape \(1\): encoder\.LayerNorm\.bias \(file \(3,\), model \(32,\)\).*ignore_mismatched_sizes",
        ),
    ],
)
def test_files_that_do_not_fit(bare, change, message):
    changed_file(bare[1], change)
    with pytest.raises(WeightError, match=message):
        DebertaV2Model.from_pretrained(bare[1])


def test_parameters_of_another_shape_start_fresh_when_asked_for(task):
    model, folder = task
    with pytest.raises(WeightError, match=r"classifier\.weight \(file \(3, 32\), model \(5, 32\)\)"):
        DebertaV2ForSequenceClassification.from_pretrained(folder, num_labels=5)
    with pytest.warns(DebertaWarning, match=r"other shapes for classifier\.bias .*, classifier\.weight"):
        again, report = DebertaV2ForSequenceClassification.from_pretrained(
            folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert again.config.num_labels == 5
    assert again(IDS).logits.shape == (2, 5)
    assert [name for name, *_ in report.mismatched] == ["classifier.bias", "classifier.weight"]
    assert_same(model, again, set(model.state_dict()) - {"classifier.weight", "classifier.bias"})
    assert 0.005 < again.classifier.weight.std().item() < 0.04


# Options


def test_configuration_overrides(task):
    model = DebertaV2ForSequenceClassification.from_pretrained(
        task[1], hidden_dropout_prob=0.3, id2label={0: "a", 1: "b", 2: "c"}
    )
    assert model.deberta.embeddings.dropout.p == 0.3
    assert model.config.id2label[2] == "c"
    other = DebertaV2Config.from_pretrained(task[1]).replace(cls_dropout=0.4)
    model = DebertaV2ForSequenceClassification.from_pretrained(task[1], config=other, pooler_dropout=0.2)
    assert (model.dropout.p, model.pooler.dropout.p) == (0.4, 0.2)
    with pytest.raises(ConfigError, match="has no field dropout"):
        DebertaV2Model.from_pretrained(task[1], dropout=0.1)


def test_a_device(bare):
    assert DebertaV2Model.from_pretrained(bare[1], device="cpu").device == torch.device("cpu")


def test_loading_draws_no_random_numbers(task):
    state = torch.get_rng_state()
    DebertaV2ForSequenceClassification.from_pretrained(task[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_saving_over_the_file_a_model_was_read_from(task):
    model, folder = task
    again = DebertaV2ForSequenceClassification.from_pretrained(folder)
    again.save_pretrained(folder)
    assert_same(model, again)
    assert_same(model, DebertaV2ForSequenceClassification.from_pretrained(folder))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64"])
def test_tensors_and_arrays(dtype):
    array = to_numpy(torch.arange(6).reshape(2, 3).to(getattr(torch, dtype)))
    assert array.dtype.name == dtype
    assert array.astype(np.int64).tolist() == [[0, 1, 2], [3, 4, 5]]
    tensor = to_torch(array.T)
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.tolist() == [[0, 3], [1, 4], [2, 5]]
    array.flags.writeable = False
    to_torch(array).zero_()
    assert array.astype(np.int64).sum() == 15


def test_every_published_file_loads_strictly(shared):
    """With the prefix and without, as the class has it; left-overs and tied copies of those files are no obstacle."""
    for folder in sorted((shared / "goldens").glob("v[12]-*")):
        config = load_config(None, folder, "masked_lm")  # with the head the weights name
        with open_weights(folder, config) as weights:
            suffix = task_spec(find_task(config, weights)).class_suffix
        model = getattr(deberta_torch, f"{type(config).__name__.removesuffix('Config')}{suffix}")(config)
        state = load_file(folder / "model.safetensors")
        model.load_state_dict(state, strict=True)
        assert all(torch.equal(model.state_dict()[name], state[name]) for name in model.state_dict()), folder.name


PEAK = """
import sys, torch
from deberta_core import DebertaV2Config
from deberta_torch import DebertaV2Model
def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) / 1024
before = peak()
dtype = getattr(torch, sys.argv[2])
model = DebertaV2Model.from_pretrained(sys.argv[1], dtype=dtype)
assert model.dtype == dtype
print(peak() - before)
"""


def test_memory_while_loading(tmp_path):
    """The file's 134 MB of float32 stay where they are until they are used; in bfloat16 there is no copy of them."""
    config = DebertaV2Config(
        vocab_size=65536, hidden_size=512, num_hidden_layers=1, num_attention_heads=8, intermediate_size=16
    )
    torch.manual_seed(0)
    DebertaV2Model(config).save_pretrained(tmp_path)
    used = {}
    for dtype in ("float32", "bfloat16"):
        command = [sys.executable, "-c", PEAK, str(tmp_path), dtype]
        used[dtype] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert used["float32"] < 30
    assert 67 < used["bfloat16"] < 67 + 80  # a piece of the file is 64 MB


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "auto"])
def test_parameters_begin_where_torchs_own_do(format, dtype, tmp_path):
    """So that a product rounds as it does in a model that was not loaded, whatever a file's places are."""
    DebertaV2Model(CASES["v2_odd_width"].config).save_pretrained(tmp_path, format=format)
    model = DebertaV2Model.from_pretrained(tmp_path, dtype=dtype)
    assert [name for name, parameter in model.named_parameters() if parameter.data_ptr() % 64] == []


@pytest.mark.parametrize("size", [None, "1KB"])
@pytest.mark.parametrize("format", ["safetensors", "bin"])
def test_what_is_loaded_and_its_file_do_not_change_each_other(format, size, tmp_path):
    """The parameters are the file's own pages, which stay the model's when another model is saved in their place."""
    noisy(DebertaV2Model).save_pretrained(tmp_path, size, format)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    model, other = (DebertaV2Model.from_pretrained(tmp_path) for _ in range(2))
    expected = {name: value.clone() for name, value in other.state_dict().items()}
    model.train()(torch.tensor([[5, 6]])).last_hidden_state.sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    assert not torch.equal(model.embeddings.word_embeddings.weight, expected["embeddings.word_embeddings.weight"])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    changed = {name: value.clone() for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path, size, format)
    again = DebertaV2Model.from_pretrained(tmp_path)
    for found, wanted in ((model, changed), (again, changed), (other, expected)):
        assert all(torch.equal(value, wanted[name]) for name, value in found.state_dict().items())


def test_one_storage_of_two_parameters_is_not_one_parameter(tmp_path):
    """Of a .bin whose tensors share memory, as tied layers are saved."""
    model = noisy(DebertaV2Model)
    model.save_pretrained(tmp_path)
    state = {name: value.clone() for name, value in load_file(tmp_path / "model.safetensors").items()}
    first, second = (f"encoder.layer.{number}.attention.self.key_proj.weight" for number in (0, 1))
    state[second] = state[first]
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    tied = dict(DebertaV2Model.from_pretrained(tmp_path).named_parameters())
    with torch.no_grad():
        tied[first].zero_()
    assert torch.equal(tied[second], state[second])


def test_large_arrays_of_others_are_used_wherever_they_begin(tmp_path):
    """Of files that others wrote: an array of a megabyte is the file's own page, a small one is read."""
    config = CONFIG.replace(vocab_size=8192)
    model = noisy(DebertaV2Model, config)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = content[8:begin].rstrip()
    header += b" " * (-len(header) % 64)  # so that the numbers begin 8 bytes beside
    file.write_bytes(len(header).to_bytes(8, "little") + header + content[begin:])
    loaded = DebertaV2Model.from_pretrained(tmp_path)
    beside = {name for name, value in loaded.named_parameters() if value.data_ptr() % 64}
    assert beside == {name for name, value in loaded.named_parameters() if value.nbytes >= 2**20}
    assert beside
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(("size", "every"), [(None, 9), pytest.param("1KB", 40, id="shards")])
def test_a_model_that_is_killed_while_it_is_saved(tmp_path, size, every):
    """Over an older one in several files, which is of another configuration."""
    noisy(DebertaV2Model, CONFIG.replace(hidden_act="relu"), seed=1).save_pretrained(tmp_path / "old", "2KB")
    model = noisy(DebertaV2Model)

    def load(folder):
        found = DebertaV2Model.from_pretrained(folder)
        return found.config.hidden_act, [tensor.numpy().tobytes() for tensor in found.state_dict().values()]

    stop_everywhere(
        tmp_path / "x", tmp_path / "old", lambda folder: model.save_pretrained(folder, size), load, every=every
    )
