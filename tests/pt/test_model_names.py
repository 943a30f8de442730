"""Models as code written for transformers uses them."""

import inspect
import json

import numpy as np
import pytest
import torch
from torch import nn

from deberta_core import ConfigError, DebertaWarning, InputError, WeightError
from deberta_core.names.models import MODEL_ATTRIBUTES
from deberta_core.names.rows import Accepted, Refused
from deberta_core.surgery import near_mean
from deberta_torch import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    DebertaConfig,
    DebertaForMaskedLM,
    DebertaModel,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
    DebertaV2Model,
)

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
CONFIG = DebertaV2Config(**SIZES, pos_att_type=("c2p",), num_labels=3)
IDS = torch.tensor([[1, 5, 6, 2], [1, 5, 2, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def test_every_row_is_a_member():
    model = DebertaV2ForSequenceClassification(CONFIG)
    for name, row in MODEL_ATTRIBUTES.items():
        value = getattr(model, name)
        if isinstance(row, Accepted):
            assert value == row.reads_as, name
        if isinstance(row, Refused):
            with pytest.raises(InputError, match=f"{name} is not taken over"):
                value()
    assert model.num_labels == 3
    assert not model.can_generate()
    assert not hasattr(model, "generate")
    with pytest.raises(InputError, match=r"PeftModel\.from_pretrained"):
        model.load_adapter("folder")
    assert model.warnings_issued == {}


@pytest.mark.parametrize("cls", [DebertaV2Model, DebertaV2ForMaskedLM])
def test_the_backbone(cls):
    model = cls(CONFIG)
    assert model.base_model is getattr(model, "deberta", model)
    assert getattr(model, model.base_model_prefix, model) is model.base_model
    assert model(**model.dummy_inputs)[0].shape[:2] == (3, 5)
    assert model.get_position_embeddings().num_embeddings == CONFIG.max_position_embeddings
    assert model.get_memory_footprint(False) == 4 * model.num_parameters()
    assert model.get_memory_footprint() > model.get_memory_footprint(return_buffers=False)


def test_output_embeddings():
    model = DebertaV2ForMaskedLM(CONFIG)
    words = nn.Embedding(40, 16)
    model.set_output_embeddings(words)
    assert model.get_output_embeddings() is model.get_input_embeddings() is words
    with pytest.raises(InputError, match="has no output embeddings"):
        DebertaV2Model(CONFIG).set_output_embeddings(words)


def test_gradients_into_the_inputs():
    model = DebertaV2Model(CONFIG).requires_grad_(False)
    assert not model(IDS).last_hidden_state.requires_grad
    model.enable_input_require_grads()
    model.enable_input_require_grads()
    assert model(IDS).last_hidden_state.requires_grad
    model.disable_input_require_grads()
    assert not model(IDS).last_hidden_state.requires_grad


def test_layers_are_drawn_anew():
    """The notebooks' re-initialised last layers."""
    model = DebertaV2ForSequenceClassification(CONFIG)
    layer = model.deberta.encoder.layer[-1]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7.0)
    layer.apply(model._init_weights)
    assert float(layer.intermediate.dense.weight.detach().std()) < 0.03
    assert bool((layer.output.LayerNorm.weight == 1).all())
    assert not layer.intermediate.dense.bias.any()
    before = model.classifier.weight.clone()
    model.init_weights()
    assert not torch.equal(model.classifier.weight, before)


def test_activation_checkpointing():
    model = DebertaV2Model(CONFIG)
    model.activation_checkpointing_enable()
    assert model.is_gradient_checkpointing
    assert model.is_activation_checkpointing
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    with pytest.raises(InputError, match="every_n_layers=2"):
        model.activation_checkpointing_enable(every_n_layers=2)


@pytest.mark.parametrize("cls", [DebertaV2Model, DebertaModel])
def test_labels_for_a_backbone(cls):
    model = cls(cls.config_class(**SIZES))
    with pytest.raises(InputError, match=rf"labels: {cls.__name__} has no loss"):
        model(IDS, labels=IDS)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int32", "int64", "uint16"])
def test_ids_of_any_width(kind):
    model = DebertaV2Model(CONFIG).eval()
    ids = torch.from_numpy(IDS.numpy().astype(kind))
    assert torch.equal(model(ids).last_hidden_state, model(IDS).last_hidden_state)


# Options of a call


@pytest.mark.parametrize("cls", [DebertaV2Model, DebertaV2ForTokenClassification, DebertaV2ForQuestionAnswering])
def test_a_call_returns_what_the_configuration_says(cls, tmp_path):
    config = CONFIG.replace(output_hidden_states=True, output_attentions=True, return_dict=False)
    model = cls(config).eval()
    given = model(IDS)
    assert type(given) is tuple
    assert (len(given[-2]), len(given[-1])) == (3, 2)
    told = model(IDS, output_hidden_states=False, output_attentions=False, return_dict=True)
    assert told.hidden_states is told.attentions is None
    assert torch.equal(told[0], given[0])
    model.save_pretrained(tmp_path)
    assert type(cls.from_pretrained(tmp_path)(IDS)) is tuple
    named = cls.from_pretrained(tmp_path, return_dict=True, output_attentions=False)(IDS)
    assert (len(named.hidden_states), named.attentions) == (3, None)


@pytest.mark.parametrize("mask", [MASK, MASK[:, None, :].expand(2, 4, 4), MASK[:, None, None, :].expand(2, 1, 4, 4)])
@pytest.mark.parametrize("cls", [DebertaV2ForTokenClassification, DebertaV2ForMaskedLM])
def test_labels_at_padding(cls, mask):
    model = cls(CONFIG).eval()
    labels = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 2]])
    right = labels.masked_fill(MASK == 0, -100)
    with pytest.raises(InputError, match=r'at a padding position.*labels_at_padding="ignore"'):
        model(IDS, mask, labels=labels)
    ignoring = model(IDS, mask, labels=labels, labels_at_padding="ignore")
    assert torch.equal(ignoring.loss, model(IDS, mask, labels=right).loss)
    with pytest.raises(InputError, match=r"labels_at_padding='x' is unknown\. Use one of: error, ignore"):
        model(IDS, mask, labels=right, labels_at_padding="x")


def test_labels_at_padding_in_graphs():
    model = DebertaV2ForTokenClassification(CONFIG).eval()
    call = {"input_ids": IDS, "attention_mask": MASK, "labels": torch.tensor([[0, 1, 2, 0], [0, 1, 2, 2]])}
    call["labels_at_padding"] = "ignore"
    expected = model(**call).loss
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(**call).loss, expected)
    exported = torch.export.export(model, (), call).module()
    torch.testing.assert_close(exported(**call).loss, expected)


@pytest.mark.parametrize("cls", [DebertaV2ForTokenClassification, DebertaV2ForMaskedLM])
def test_trainer_finds_one_argument_for_labels(cls):
    """As its `find_labels` does; it takes all of them to be given."""
    assert [name for name in inspect.signature(cls.forward).parameters if "label" in name] == ["labels"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'attention_msk'"):
        cls(CONFIG)(IDS, attention_msk=MASK)


def test_labels_at_padding_of_other_heads_are_as_they_were():
    model = DebertaV2ForSequenceClassification(CONFIG).eval()
    labels = torch.tensor([0, 1])
    assert torch.equal(
        model(IDS, MASK, labels=labels, labels_at_padding="ignore").loss, model(IDS, MASK, labels=labels).loss
    )


# Loading and saving


@pytest.mark.parametrize("cls", [DebertaV2ForSequenceClassification, AutoModelForSequenceClassification])
def test_transformers_arguments_of_loading(cls, tmp_path):
    DebertaV2ForSequenceClassification(CONFIG).save_pretrained(tmp_path / "inner")
    model = cls.from_pretrained(
        pretrained_model_name_or_path=tmp_path,
        subfolder="inner",
        torch_dtype=torch.bfloat16,
        low_cpu_mem_usage=True,
        trust_remote_code=True,
        use_safetensors=True,
        use_auth_token=None,
        resume_download=True,
        from_tf=False,
        from_pt=True,
        load_in_8bit=False,
        quantization_config=None,
        output_hidden_states=True,
        output_attentions=True,
        return_dict=False,
    )
    assert model.dtype == torch.bfloat16
    assert len(model(IDS)) == 3
    assert model.name_or_path == str(tmp_path)


@pytest.mark.parametrize("cls", [DebertaV2ForSequenceClassification, AutoModelForSequenceClassification])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"torch_dtyp": "auto"}, "Did you mean 'torch_dtype'"),
        ({"load_in_8bit": True}, r"load_in_8bit' is not taken\. Load the model, then call"),
        ({"torch_dtype": "auto", "dtype": "auto"}, "two names of one argument"),
    ],
)
def test_arguments_that_are_refused(cls, options, message, tmp_path):
    DebertaV2ForSequenceClassification(CONFIG).save_pretrained(tmp_path)
    with pytest.raises((ConfigError, InputError), match=message):
        cls.from_pretrained(tmp_path, **options)


@pytest.mark.parametrize("cls", [DebertaV2ForMaskedLM, AutoModelForMaskedLM])
def test_a_state_dict_instead_of_a_file(cls, tmp_path):
    model = DebertaV2ForMaskedLM(CONFIG)
    state = model.state_dict()
    loaded, report = cls.from_pretrained(None, config=CONFIG, state_dict=state, output_loading_info=True)
    assert not any(dict(report).values())
    assert not loaded.training
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name])
        assert value.data_ptr() != state[name].data_ptr()
    CONFIG.save_pretrained(tmp_path)
    theirs = {f"module.{name}": value for name, value in state.items()}
    there = cls.from_pretrained(tmp_path, state_dict=theirs, torch_dtype=torch.bfloat16)  # no weights are there
    assert there.dtype == torch.bfloat16
    assert there.name_or_path == str(tmp_path)
    assert all(torch.equal(value, state[name].to(torch.bfloat16)) for name, value in there.state_dict().items())


def test_which_head_a_state_dict_has(tmp_path):
    """The configuration's file is silent: `legacy` is told by the names, as with files."""
    model = DebertaV2ForMaskedLM(CONFIG.replace(legacy=False))
    values = {name: value for name, value in CONFIG.to_dict().items() if name != "legacy"}
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert not DebertaV2ForMaskedLM.from_pretrained(tmp_path, state_dict=model.state_dict()).config.legacy


def test_a_state_dict_is_judged_as_a_file():
    state = DebertaV2Model(CONFIG).state_dict()
    with pytest.raises(WeightError, match=r"^state_dict does not fit DebertaV2ForMaskedLM: missing \(\d\): cls"):
        DebertaV2ForMaskedLM.from_pretrained(None, config=CONFIG, state_dict=state)
    name = "encoder.layer.0.output.dense.bias"
    with pytest.raises(WeightError, match=rf"of another shape \(1\): {name}"):
        DebertaV2Model.from_pretrained(None, config=CONFIG, state_dict={**state, name: torch.zeros(3)})
    with pytest.raises(WeightError, match=r"unexpected \(1\): strange"):
        DebertaV2Model.from_pretrained(None, config=CONFIG, state_dict={**state, "strange": torch.zeros(3)})
    with pytest.warns(DebertaWarning, match=r"state_dict has no classifier\.bias"):
        report = DebertaV2ForSequenceClassification.from_pretrained(
            None, config=CONFIG, state_dict=state, output_loading_info=True
        )[1]
    assert "pooler.dense.weight" in report["missing_keys"]
    with pytest.raises(InputError, match="other things than tensors by names: encoder"):
        DebertaV2Model.from_pretrained(None, config=CONFIG, state_dict={"encoder": 3})
    for given in ({"config": CONFIG}, {"state_dict": state}):
        with pytest.raises(WeightError, match="there is no path"):
            DebertaV2Model.from_pretrained(None, **given)


def test_a_report_has_transformers_keys(tmp_path):
    DebertaV2ForSequenceClassification(CONFIG).save_pretrained(tmp_path)
    report = DebertaV2ForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)[1]
    assert dict(report) == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    with pytest.raises(KeyError, match="missing_key"):
        report["missing_key"]


def test_transformers_arguments_of_saving(tmp_path):
    model = DebertaV2Model(CONFIG)
    model.save_pretrained(save_directory=tmp_path / "a", safe_serialization=False, push_to_hub=False, token=None)
    assert (tmp_path / "a" / "pytorch_model.bin").is_file()
    state = {name: value + 1 for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path / "b", state_dict=state, safe_serialization=True)
    loaded = DebertaV2Model.from_pretrained(tmp_path / "b").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    model.save_pretrained(tmp_path / "c", is_main_process=False)
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="push_to_hub' is not taken"):
        model.save_pretrained(tmp_path / "d", push_to_hub=True)
    with pytest.raises(InputError, match="Did you mean 'max_shard_size'"):
        model.save_pretrained(tmp_path / "d", max_shard_sise=3)


# A larger vocabulary


@pytest.mark.parametrize("cls", [DebertaV2ForMaskedLM, DebertaForMaskedLM])
def test_new_words_near_the_mean(cls):
    torch.manual_seed(0)
    model = cls((DebertaConfig if cls is DebertaForMaskedLM else DebertaV2Config)(**SIZES))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(3.0, 1.0)
        model.cls["predictions"].bias.normal_(5.0, 1.0)
    old, bias = model.get_input_embeddings().weight.clone(), model.cls["predictions"].bias.clone()
    model.resize_token_embeddings(45)
    new = model.get_input_embeddings().weight[40:]
    assert (new - old.mean(0)).abs().max() < 1e-3  # 1e-9 of the covariance
    assert len(new.unique(dim=0)) == 5
    assert (model.cls["predictions"].bias[40:] - bias.mean()).abs().max() < 1e-3
    assert torch.equal(model.get_input_embeddings().weight[:40], old)
    model.resize_token_embeddings(30)
    assert model(IDS).logits.shape[-1] == 30


def test_new_words_as_in_a_new_model():
    torch.manual_seed(0)
    model = DebertaV2ForMaskedLM(CONFIG)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(3.0, 1.0)
        model.cls["predictions"].bias.fill_(5.0)
    new = model.resize_token_embeddings(1040, mean_resizing=False).weight[40:].detach()
    assert abs(float(new.mean())) < 1e-3
    assert 0.019 < float(new.std()) < 0.021  # initializer_range
    assert not model.cls["predictions"].bias[40:].any()


def test_near_the_mean_has_the_covariance():
    random = np.random.default_rng(0)
    rows = random.normal(size=(50, 3)) @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 3.0]])
    new = near_mean(rows, 20_000, random.standard_normal)
    assert np.abs(new.mean(0) - rows.mean(0)).max() < 1e-5
    assert np.abs(np.cov(new.T) / 1e-9 - np.cov(rows.T, bias=True)).max() < 0.1
