"""The public interface: every class the contract names exists, is documented, and is in the matrix of the suite."""

import importlib
import inspect
import re

import pytest

from conformance.suite.cases import TASK_NAMES
from deberta_core.tasks import BACKBONE, TASKS

VERSIONS = ("Deberta", "DebertaV2")
SUFFIXES = ("PreTrainedModel", *(spec.class_suffix for spec in (BACKBONE, *TASKS.values())))
PACKAGES = {"deberta_torch": "", "deberta_tf": "TF"}
CORE = ("AutoConfig", "DebertaConfig", "DebertaV2Config")
# Two models in one, which are no task.
PAIRS = ("DebertaForPreTraining", "DebertaV2ForPreTraining")
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
OPTIONS = ("output_attentions", "output_hidden_states", "return_dict")
# A backbone refuses labels; what else a call takes is in `options`.
OWN_OPTIONS = {("deberta_tf", "masked_lm"): ("labelled_logits_only",), ("deberta_torch", BACKBONE.name): ("labels",)}


def model_names() -> list[str]:
    """The names of the contract, without the prefix of the Keras classes."""
    heads = [f"{version}{suffix}" for version in VERSIONS for suffix in SUFFIXES]
    return [*heads, "AutoModel", *(f"AutoModel{spec.class_suffix}" for spec in TASKS.values())]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_model_exists_and_says_what_it_is(package):
    module = importlib.import_module(package)
    for name in (*(PACKAGES[package] + name for name in (*model_names(), *PAIRS)), *CORE):
        assert name in module.__all__, name
        assert inspect.getdoc(getattr(module, name)), name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_model_is_called_alike(package):
    module = importlib.import_module(package)
    for version in VERSIONS:
        for spec in (BACKBONE, *TASKS.values()):
            cls = getattr(module, f"{PACKAGES[package]}{version}{spec.class_suffix}")
            method = cls.forward if package == "deberta_torch" else cls.call
            parameters = tuple(inspect.signature(method).parameters)[1:]
            expected = (*INPUTS, *spec.labels, *OPTIONS, *OWN_OPTIONS.get((package, spec.name), ()))
            assert tuple(name for name in parameters if name not in ("training", "options")) == expected, cls


def test_every_task_is_in_the_matrix():
    assert set(TASK_NAMES) == {None, *TASKS}


def test_the_contract_names_nothing_else(shared):
    """Reads the written contract where it is at hand."""
    text = (shared / "spec" / "API.md").read_text(encoding="utf-8")
    section = text.split("## deberta_torch")[1].split("\n* ")[0]
    named = set(re.findall(r"`(Deberta\w+)`", section))
    named |= {f"Deberta{suffix}" for suffix in re.findall(r"`…(For\w+)`", section)}
    named |= {name.replace("Deberta", "DebertaV2") for name in named}
    ours = {name for name in model_names() if name.startswith("Deberta")}
    assert named - {*PAIRS} == ours
