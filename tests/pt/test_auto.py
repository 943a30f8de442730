"""Saving and loading of every task, and the choosers by model type."""

import json

import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES, TASK_NAMES, random_params
from deberta_core import AutoConfig, ConfigError, DebertaWarning, WeightError
from deberta_core.tasks import TASKS, task_spec

VERSIONS = {"v1": ("Deberta", "v1_talking_head"), "v2": ("DebertaV2", "v2_conv_groups")}
IDS = torch.arange(14).reshape(1, 2, 7) + 5
over_all = pytest.mark.parametrize("task", TASK_NAMES)
versions = pytest.mark.parametrize("version", VERSIONS)


def filled(version, task, **changes):
    """A model whose every parameter is random."""
    prefix, case = VERSIONS[version]
    config = CASES[case].config.replace(num_labels=3, **changes)
    model = getattr(deberta_torch, prefix + task_spec(task).class_suffix)(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in random_params(config, task).items()})
    return model.eval()


def chooser(task):
    suffix = "" if task is None else TASKS[task].class_suffix
    return getattr(deberta_torch, f"AutoModel{suffix}")


def run(model):
    return model(IDS if model.spec.folds_choices else IDS[0])


@versions
@pytest.mark.parametrize(("task", "legacy"), [*((task, True) for task in TASK_NAMES), ("masked_lm", False)])
@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_a_round_trip_is_exact(version, task, format, legacy, tmp_path):
    model = filled(version, task, legacy=legacy)
    model.save_pretrained(tmp_path, format=format)
    file = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert file["architectures"] == [type(model).__name__]
    for cls in (type(model), chooser(task)):
        again, report = cls.from_pretrained(tmp_path, output_loading_info=True)
        assert type(again) is type(model)
        assert not again.training
        assert report.missing == report.unexpected == report.mismatched == report.dropped == ()
        state = again.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert torch.equal(run(again)[0], run(model)[0])


@versions
@over_all
def test_the_choosers(version, task, tmp_path):
    model = filled(version, task)
    assert type(chooser(task).from_config(model.config)) is type(model)
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path).replace(hidden_dropout_prob=0.3)
    again = chooser(task).from_pretrained(tmp_path, config, dtype=torch.bfloat16, attention_probs_dropout_prob=0.2)
    assert again.dtype == torch.bfloat16
    assert (again.config.hidden_dropout_prob, again.config.attention_probs_dropout_prob) == (0.3, 0.2)


def test_every_task_has_its_chooser():
    assert {name for name in deberta_torch.__all__ if name.startswith("AutoModel")} == {
        chooser(task).__name__ for task in TASK_NAMES
    }
    for task in TASK_NAMES:
        names = {cls.__name__ for cls in chooser(task).classes.values()}
        assert names == {prefix + task_spec(task).class_suffix for prefix in ("Deberta", "DebertaV2")}


def test_another_models_folder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json: model_type='bert' is unknown\. Use one of: deberta, deb"):
        deberta_torch.AutoModelForMaskedLM.from_pretrained(tmp_path)


@versions
@pytest.mark.parametrize("task", ["masked_lm", "question_answering"])
def test_a_missing_head_is_an_error_unless_asked_for(version, task, tmp_path):
    """A silently random head there is nonsense; a classifier is how fine-tuning starts."""
    backbone = filled(version, None)
    backbone.save_pretrained(tmp_path)
    with pytest.raises(WeightError, match=r"missing \(\d\): (cls\.predictions|qa_outputs)\."):
        chooser(task).from_pretrained(tmp_path)
    torch.manual_seed(0)
    model = chooser(task).from_pretrained(tmp_path, new_head=True)
    state = model.deberta.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    for name, value in model.state_dict().items():
        if name.startswith("deberta."):
            continue
        if name.endswith("bias"):
            assert not value.any(), name
        elif "LayerNorm" in name:
            assert (value == 1).all(), name
        else:
            assert 0.01 < value.std().item() < 0.03, name


@versions
def test_tasks_read_the_backbone_of_other_tasks(version, tmp_path):
    model = filled(version, "masked_lm")
    model.save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match=r"classifier\.bias"):
        other = chooser("token_classification").from_pretrained(tmp_path)
    state = other.deberta.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.deberta.state_dict().items())
