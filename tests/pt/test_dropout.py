"""Dropout sits where NUMERICS puts it, with the probability of its field, and nowhere else."""

import pytest
import torch
from torch import nn

import deberta_torch
from conformance.suite.cases import CASES
from deberta_torch import DebertaV2ForSequenceClassification

CONFIG = CASES["v2_conv_groups"].config.replace(
    hidden_dropout_prob=0.11,
    attention_probs_dropout_prob=0.22,
    pooler_dropout=0.33,
    cls_dropout=0.44,
    num_hidden_layers=2,
)
LAYER_PLACES = {
    "attention.self.table_dropout": 0.11,
    "attention.self.dropout": 0.22,
    "attention.output.dropout": 0.11,
    "output.dropout": 0.11,
}
LAYERS = {f"deberta.encoder.layer.{i}.{name}": p for i in range(2) for name, p in LAYER_PLACES.items()}
BACKBONE = {"deberta.embeddings.dropout": 0.11} | LAYERS
CONVOLUTION = {"deberta.encoder.conv.dropout": 0.11}
HEADS = {
    "MaskedLM": {},
    "QuestionAnswering": {},
    "TokenClassification": {"dropout": 0.11},
    "SequenceClassification": {"pooler.dropout": 0.33, "dropout": 0.44},
    "MultipleChoice": {"pooler.dropout": 0.33, "dropout": 0.44},
}
PLACES = BACKBONE | CONVOLUTION | HEADS["SequenceClassification"]
V1_CONFIG = CASES["v1_talking_head"].config.replace(
    hidden_dropout_prob=0.11,
    attention_probs_dropout_prob=0.22,
    pooler_dropout=0.33,
    cls_dropout=0.44,
    num_hidden_layers=2,
)

IDS = torch.arange(18).reshape(2, 9) + 5
MASK = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0]])


@pytest.fixture
def model() -> DebertaV2ForSequenceClassification:
    torch.manual_seed(0)
    return DebertaV2ForSequenceClassification(CONFIG.replace(initializer_range=0.5)).train()


def only(model, *places: str, probability: float = 0.5) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = probability if name in places else 0.0


def run(model):
    with torch.no_grad():
        return model(IDS, MASK, output_hidden_states=True, output_attentions=True)


@pytest.mark.parametrize("version", ["V2", ""])
@pytest.mark.parametrize("head", HEADS)
def test_the_places_and_their_probabilities(head, version):
    model = getattr(deberta_torch, f"Deberta{version}For{head}")(CONFIG if version else V1_CONFIG)
    expected = BACKBONE | HEADS[head] | (CONVOLUTION if version else {})
    assert {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)} == expected


@pytest.mark.parametrize("version", ["V2", ""])
@pytest.mark.parametrize("head", [head for head, places in HEADS.items() if places])
def test_each_place_of_a_head_is_used(head, version):
    torch.manual_seed(0)
    config = (CONFIG if version else V1_CONFIG).replace(initializer_range=0.5)
    model = getattr(deberta_torch, f"Deberta{version}For{head}")(config).train()
    inputs = (IDS[:, None], MASK[:, None]) if head == "MultipleChoice" else (IDS, MASK)
    for place in HEADS[head]:
        only(model, place)
        assert not torch.equal(model(*inputs).logits, model(*inputs).logits), place


def test_each_place_of_v1_is_used():
    torch.manual_seed(0)
    model = deberta_torch.DebertaForMaskedLM(V1_CONFIG.replace(initializer_range=0.5)).train()
    for place in BACKBONE:
        only(model, place)
        assert not torch.equal(run(model).logits, run(model).logits), place


def test_the_classifiers_default_is_the_hidden_one():
    assert DebertaV2ForSequenceClassification(CONFIG.replace(cls_dropout=None)).dropout.p == 0.11


def test_what_each_place_drops(model):
    """Its input is the quantity named by the specification, once per forward pass."""
    only(model)
    dropped: dict[str, list[torch.Tensor]] = {name: [] for name in PLACES}
    made: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_pre_hook(lambda _, args, name=name: dropped[name].append(args[0]))
        elif isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv1d)) or name == "pooler":
            module.register_forward_hook(lambda _, args, out, name=name: made.__setitem__(name, out))
    output = run(model)
    assert {name: len(inputs) for name, inputs in dropped.items()} == dict.fromkeys(PLACES, 1)
    encoder = "deberta.encoder"
    expected = {
        "deberta.embeddings.dropout": output.hidden_states[0],
        f"{encoder}.conv.dropout": made[f"{encoder}.conv.conv"].transpose(1, 2) * MASK[..., None],
        "pooler.dropout": torch.stack([output.hidden_states[-1][0, 2], output.hidden_states[-1][1, 0]]),
        "dropout": made["pooler"],
    }
    for i in range(2):
        layer = f"{encoder}.layer.{i}"
        expected |= {
            f"{layer}.attention.self.table_dropout": made[f"{encoder}.LayerNorm"],
            f"{layer}.attention.self.dropout": output.attentions[i],
            f"{layer}.attention.output.dropout": made[f"{layer}.attention.output.dense"],
            f"{layer}.output.dropout": made[f"{layer}.output.dense"],
        }
    assert set(expected) == set(PLACES)
    for name, value in expected.items():
        assert torch.equal(dropped[name][0], value), name


@pytest.mark.parametrize("place", PLACES)
def test_each_place_alone_is_random(model, place):
    """What it makes is used: the logits differ, and differ from call to call."""
    only(model)
    still = run(model)
    only(model, place)
    one, other = run(model), run(model)
    assert not torch.equal(one.logits, still.logits)
    assert not torch.equal(one.logits, other.logits)
    torch.manual_seed(3)
    one = run(model)
    torch.manual_seed(3)
    assert torch.equal(run(model).logits, one.logits)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_table_is_dropped_for_each_layer_anew(model, layer):
    """Dropping all of one layer's table leaves it content attention; the other layer's stays whole."""
    only(model)
    still = run(model)
    only(model, f"deberta.encoder.layer.{layer}.attention.self.table_dropout", probability=1.0)
    changed = run(model)
    assert torch.equal(changed.attentions[0], still.attentions[0]) == (layer == 1)
    assert not torch.equal(changed.attentions[1], still.attentions[1])


def test_attentions_are_returned_before_dropout(model):
    only(model)
    still = run(model)
    only(model, "deberta.encoder.layer.0.attention.self.dropout")
    assert torch.equal(run(model).attentions[0], still.attentions[0])


def test_evaluation_is_deterministic(model):
    model.eval()
    assert torch.equal(run(model).logits, run(model).logits)
    only(model)
    assert torch.equal(run(model.train()).logits, run(model.eval()).logits)
