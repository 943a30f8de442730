"""Classes that users make of a backbone, or a task model, and layers of their own."""

import pytest
import torch
from torch import nn

from deberta_core import ConfigError, DebertaWarning, InputError, WeightError
from deberta_core.outputs import ModelOutput
from deberta_torch import (
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2ForSequenceClassification,
    DebertaV2Model,
    DebertaV2PreTrainedModel,
)

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
CONFIG = DebertaV2Config(**SIZES, pos_att_type=("c2p",), position_biased_input=False, num_labels=3)
IDS = torch.tensor([[1, 5, 6, 2]])


class MeanPooled(DebertaV2PreTrainedModel):
    """As Kaggle notebooks have it."""

    place = "deberta"

    def __init__(self, config):
        super().__init__(config)
        setattr(self, self.place, DebertaV2Model(config))
        self.norm = nn.BatchNorm1d(config.hidden_size)
        self.layer_weights = nn.Parameter(torch.full((3,), 0.5))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None):
        hidden = getattr(self, self.place)(input_ids, attention_mask).last_hidden_state.mean(1)
        return self.classifier(self.norm(hidden) * self.layer_weights.mean())


class ElsewherePooled(MeanPooled):
    place = "backbone"


OWN = {
    *("classifier.bias", "classifier.weight", "layer_weights", "norm.bias", "norm.num_batches_tracked"),
    *("norm.running_mean", "norm.running_var", "norm.weight"),
}


@pytest.fixture(params=[MeanPooled, ElsewherePooled])
def cls(request):
    return request.param


@pytest.mark.parametrize("source", [DebertaV2Model, DebertaV2ForMaskedLM])
def test_the_backbone_is_loaded_and_the_rest_is_new(cls, source, tmp_path):
    saved = source(CONFIG)
    saved.save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match=r"has no .*classifier\.weight.*They start fresh"):
        model, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert set(report.missing) == set(report["missing_keys"]) == OWN
    assert report.unexpected == ()
    assert not model.training
    expected, loaded = saved.base_model.state_dict(), model.base_model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert torch.equal(model.layer_weights.detach(), torch.full((3,), 0.5))
    assert model.base_model is getattr(model, cls.place)


def test_a_head_of_the_same_name_is_loaded(cls, tmp_path):
    saved = DebertaV2ForSequenceClassification(CONFIG)
    saved.save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match="They start fresh"):
        model, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert torch.equal(model.classifier.weight, saved.classifier.weight)
    assert set(report.missing) == OWN - {"classifier.weight", "classifier.bias"}
    assert {name.split(".")[0] for name in report.dropped} == {"pooler"}
    with pytest.raises(WeightError, match=r"classifier\.weight \(file \(3, 16\), model \(5, 16\)\)"):
        cls.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(DebertaWarning, match="other shapes"), pytest.warns(DebertaWarning, match="has no layer_weights"):
        assert cls.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True).classifier.out_features == 5


@pytest.mark.parametrize(
    "options", [{}, {"safe_serialization": False}, {"max_shard_size": 4000}], ids=["safetensors", "bin", "shards"]
)
def test_all_is_saved_and_loads_again(cls, tmp_path, options):
    torch.manual_seed(0)
    model = cls(CONFIG)
    model(IDS.repeat(4, 1))  # the norm takes a mean
    model.eval().save_pretrained(tmp_path, **options)
    loaded, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert report.missing == report.unexpected == ()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(loaded(IDS), model(IDS))
    assert loaded.config.architectures == [cls.__name__]


def test_a_format_with_names_of_its_own_is_refused(cls, tmp_path):
    with pytest.raises(WeightError, match="h5 has no place for layers of one's own"):
        cls(CONFIG).save_pretrained(tmp_path, format="h5")


def test_a_missing_layer_of_the_backbone_is_an_error(cls, tmp_path):
    DebertaV2Model(CONFIG).save_pretrained(tmp_path)
    with pytest.raises(WeightError, match="missing"):
        cls.from_pretrained(tmp_path, num_hidden_layers=3)


def test_types_and_devices(cls, tmp_path):
    cls(CONFIG).to(torch.bfloat16).save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path).dtype == torch.float32
    assert cls.from_pretrained(tmp_path, torch_dtype="auto").dtype == torch.bfloat16
    assert cls.from_pretrained(tmp_path, dtype=torch.float16, device="cpu").classifier.weight.dtype == torch.float16


class TwoHeads(DebertaV2ForSequenceClassification):
    def __init__(self, config):
        super().__init__(config)
        self.second = nn.Linear(config.hidden_size, 2)


def test_a_task_model_with_another_layer(tmp_path):
    DebertaV2ForSequenceClassification(CONFIG).save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match=r"has no second\.bias, second\.weight"):
        model = TwoHeads.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path / "both")
    loaded = TwoHeads.from_pretrained(tmp_path / "both")
    assert torch.equal(loaded.second.weight, model.second.weight)
    assert isinstance(loaded(IDS), ModelOutput)


def test_a_vocabulary_grows(cls, tmp_path):
    model = cls(CONFIG)
    model.resize_token_embeddings(44)
    assert model.config.vocab_size == model.base_model.config.vocab_size == 44
    model.save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path).get_input_embeddings().num_embeddings == 44


def test_a_class_without_a_backbone():
    class Empty(DebertaV2PreTrainedModel):
        pass

    with pytest.raises(InputError, match="Empty has no backbone"):
        _ = Empty(CONFIG).base_model
    with pytest.raises(ConfigError, match="takes a DebertaV2Config"):
        MeanPooled({"hidden_size": 3})


def test_own_initialisation_is_kept(tmp_path):
    class Mine(MeanPooled):
        def _init_weights(self, module):
            super()._init_weights(module)
            if module is self.classifier:
                nn.init.constant_(module.weight, 0.25)

    DebertaV2Model(CONFIG).save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match="fresh"):
        model = Mine.from_pretrained(tmp_path)
    assert torch.equal(model.classifier.weight.detach(), torch.full((3, 16), 0.25))
