import sys

import numpy as np
import pytest

from conformance.convert import verify as module
from conformance.convert.convert import convert
from conformance.convert.verify import compare, make_inputs, output_fields, verify
from conformance.tolerances import TOLERANCES
from deberta_core.checkpoint import load_config, load_weights, save_weights
from deberta_core.errors import WeightError
from deberta_core.reference.forward import forward
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer

TASK = "sequence_classification"


def reference_runner(folder, config, task, inputs, dtype=np.float32):
    """Stands for a framework: the reference in float32, on the weights of a folder."""
    with load_weights(folder, load_config(None, folder, task), task) as loaded:
        return forward(config, dict(loaded.weights), inputs, task, dtype)


@pytest.fixture(params=[None, TASK])
def task(request):
    return request.param


@pytest.fixture
def folders(tmp_path, small_config, random_weights, task, monkeypatch):
    """A source, its conversion, and a runner that needs no framework."""
    monkeypatch.setattr(module, "RUNNERS", {"float32": reference_runner})
    source = tmp_path / "source"
    small_config.save_pretrained(source)
    save_weights(source, small_config, task, random_weights(small_config, task))
    convert(source, tmp_path / "target", "h5")
    return source, tmp_path / "target"


def replace_weight(folder, config, task, name, change):
    with load_weights(folder, config, task) as loaded:
        weights = dict(loaded.weights)
    weights[name] = change(weights[name])
    save_weights(folder, config, task, weights, "h5")


def test_a_good_conversion_passes(folders, capsys):
    assert verify(*folders)
    out = capsys.readouterr().out
    assert "max |difference|" in out
    assert "FAILED" not in out
    lines = compare(*folders)
    assert [line.framework for line in lines] == ["files", "float32", "float32"]
    assert lines[0].difference == lines[0].bound == 0
    assert 0 < lines[1].difference == lines[2].difference < lines[1].bound


def test_the_bound_follows_the_scale_of_the_output(folders, small_config, task):
    source, target = folders
    outputs = reference_runner(source, small_config, task, make_inputs(source, small_config), np.float64)
    expected = outputs["logits" if task else "last_hidden_state"]
    assert compare(source, target)[1].bound <= TOLERANCES["converted"].limit * np.abs(expected).max()
    assert compare(source, target)[1].bound > TOLERANCES["converted"].limit * np.abs(expected).max() / 100


@pytest.mark.parametrize("change", [lambda a: a.T[:, ::-1].T, lambda a: a * 1.5, lambda a: np.where(a > 0, np.nan, a)])
def test_a_wrong_target_fails(folders, small_config, task, change, capsys):
    source, target = folders
    name = "encoder.layer.1.attention.output.dense.weight"
    name = f"deberta.{name}" if task else name
    replace_weight(target, small_config, task, name, lambda a: change(a).astype("f4"))
    assert not verify(source, target)
    lines = compare(source, target)
    assert [line.passed for line in lines] == [False, True, False]
    assert capsys.readouterr().out.count("FAILED") == 2


def test_a_framework_that_reads_wrongly_fails(folders, monkeypatch):
    def odd(folder, config, task, inputs):
        outputs = reference_runner(folder, config, task, inputs)
        return {field: outputs[field] * np.float32(1.001) for field in output_fields(task)}

    monkeypatch.setattr(module, "RUNNERS", {"odd": odd})
    assert [line.passed for line in compare(*folders)] == [True, False, False]


def test_made_up_inputs_are_padded_and_reach_the_vocabulary(tmp_path, small_config):
    inputs = make_inputs(tmp_path, small_config)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert ids.shape == mask.shape == (3, 24)
    assert mask.sum(axis=1).tolist() == [24, 1, 13]
    assert (ids[mask == 0] == small_config.pad_token_id).all()
    assert ids.max() > small_config.vocab_size * 0.9
    short = small_config.replace(max_position_embeddings=8)
    assert make_inputs(tmp_path, short)["input_ids"].shape == (3, 8)


@pytest.mark.parametrize("cls", [DebertaV2Tokenizer, DebertaTokenizer])
def test_real_text_goes_through_the_tokenizer(tmp_path, small_config, cls):
    texts = ["Rain stopped play on the second day.", "The committee approved the budget after three hours."] * 20
    tokenizer = cls.train(texts, 290)
    tokenizer.save_pretrained(tmp_path)
    small_config.replace(vocab_size=290).save_pretrained(tmp_path)
    inputs = make_inputs(tmp_path, small_config.replace(vocab_size=290))
    assert inputs["input_ids"].shape == (3, 32)
    assert inputs["attention_mask"].min() == 0
    assert tokenizer.decode(inputs["input_ids"][1], skip_special_tokens=True).strip() == "Rain stopped play."


def test_a_missing_framework_is_named(folders, monkeypatch):
    monkeypatch.setattr(module, "RUNNERS", {"torch": module._torch})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(WeightError, match=r'torch is not installed\. .*"deberta-dual\[torch\]"'):
        verify(*folders)


def test_what_is_installed_is_compared(folders, monkeypatch, capsys):
    monkeypatch.setattr(module, "RUNNERS", {"torch": module._torch, "float32": reference_runner})
    monkeypatch.setitem(sys.modules, "torch", None)
    assert verify(*folders)
    printed = capsys.readouterr().out
    assert "torch is not installed, so nothing is said about it\n" in printed
    assert "float32" in printed


@pytest.mark.parametrize(
    ("golden", "fields"),
    [
        ("v1-base", ("last_hidden_state",)),
        ("v1-mlm", ("logits",)),
        ("v1-mlm-legacy", ("logits",)),
        ("v2-mlm", ("logits",)),
        ("v2-choice", ("logits",)),
        ("v2-token", ("logits",)),
        ("v1-qa", ("start_logits", "end_logits")),
    ],
)
def test_every_task_of_both_versions(shared, tmp_path, monkeypatch, golden, fields):
    """Each field is compared; an error in the last of them is seen."""
    source = shared / "goldens" / golden
    convert(source, tmp_path / "target", "h5")
    monkeypatch.setattr(module, "RUNNERS", {"float32": reference_runner})
    lines = compare(source, tmp_path / "target")
    assert [line.what for line in lines[1:]] == [
        f"{f} from the {role}" for role in ("source", "target") for f in fields
    ]
    assert all(line.passed for line in lines)

    def wrong(folder, config, task, inputs):
        outputs = reference_runner(folder, config, task, inputs)
        return outputs | {fields[-1]: outputs[fields[-1]] * np.float32(1.001)}

    monkeypatch.setattr(module, "RUNNERS", {"wrong": wrong})
    assert [line.passed for line in compare(source, tmp_path / "target")[1:]] == 2 * [
        *(True for _ in fields[1:]),
        False,
    ]


@pytest.mark.parametrize("task", ["multiple_choice"])
def test_choices_differ(folders, small_config, task):
    inputs = make_inputs(folders[0], small_config, task)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (3, 2, 24)
    assert (inputs["attention_mask"][:, 0] != inputs["attention_mask"][:, 1]).any()
