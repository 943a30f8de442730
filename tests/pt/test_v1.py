"""DeBERTa v1: published files, half precision, autocast, graphs, initialisation, dropout."""

import copy
import pickle

import pytest
import torch

from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close
from deberta_core import ConfigError, DebertaConfig, DebertaV2Config, DebertaWarning, reference
from deberta_torch import (
    DebertaForMaskedLM,
    DebertaForSequenceClassification,
    DebertaModel,
    DebertaV2ForMaskedLM,
    DebertaV2Model,
)
from deberta_torch.projections import FusedSelfAttention

V1 = [name for name, case in CASES.items() if case.config.model_type == "deberta"]
CONFIG = CASES["v1_talking_head"].config
IDS = torch.arange(14).reshape(2, 7) + 5
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1]])


def filled(cls, config):
    """A lively model in evaluation mode."""
    model = cls(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in random_params(config, cls.task).items()})
    return model.eval()


# The fused projection


@pytest.mark.parametrize("name", ["v1_like", "v1_head_size"])
def test_rows_of_the_fused_projection(name):
    """Per head: D rows of the query, D of the key, D of the value; biases for query and value only."""
    config = CASES[name].config
    layer = FusedSelfAttention(config, 0)
    heads, size = config.num_attention_heads, config.head_size
    with torch.no_grad():
        layer.q_bias.normal_()
        layer.v_bias.normal_()
        hidden = torch.randn(2, 3, config.hidden_size)
        query, key, value = layer.content(hidden)
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            rows = layer.in_proj.weight[3 * size * head : 3 * size * (head + 1)].split(size)
            expected = [hidden @ part.T for part in rows]
            expected = [expected[0] + layer.q_bias[own], expected[1], expected[2] + layer.v_bias[own]]
            for kind, actual, wanted in zip("qkv", (query, key, value), expected, strict=True):
                made = actual[..., own].numpy()
                assert_close(made, wanted.numpy(), quantity="hidden", name=f"{kind} of head {head}")


# Files


@pytest.mark.parametrize("golden", ["v1-base"])
def test_a_published_file_loads_strictly(shared, golden):
    folder = shared / "goldens" / golden
    model = DebertaModel(DebertaConfig.from_pretrained(folder))
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    model.load_state_dict(state, strict=True)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_of_the_other_version_is_refused(tmp_path):
    filled(DebertaModel, CONFIG).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"model_type='deberta' is not 'deberta-v2'"):
        DebertaV2Model.from_pretrained(tmp_path)
    assert type(DebertaModel.from_pretrained(tmp_path).config) is DebertaConfig
    filled(DebertaV2Model, CASES["v3_like"].config).save_pretrained(tmp_path / "v2")
    with pytest.raises(ConfigError, match=r"model_type='deberta-v2' is not 'deberta'"):
        DebertaModel.from_pretrained(tmp_path / "v2")


def test_biases_of_another_shape_start_at_zero(tmp_path):
    """Also those that no layer of torch owns."""
    filled(DebertaModel, CASES["v1_like"].config).save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match="other shapes"):
        model = DebertaModel.from_pretrained(tmp_path, attention_head_size=5, ignore_mismatched_sizes=True)
    own = model.encoder.layer[1].attention.self
    assert own.q_bias.shape == own.v_bias.shape == (20,)
    assert not own.q_bias.any()
    assert not own.v_bias.any()
    assert own.in_proj.weight.std() > 0


# Initialisation and copies


def test_initialisation():
    torch.manual_seed(1)
    config = CONFIG.replace(hidden_size=64, num_attention_heads=32, initializer_range=0.05, vocab_size=3000)
    model = DebertaForMaskedLM(config)
    for name, value in model.state_dict().items():
        if "LayerNorm.weight" in name:
            assert (value == 1).all(), name
        elif name.endswith("bias"):
            assert (value == 0).all(), name
        else:
            values = value if "word_embeddings" not in name else value[1:]
            assert abs(values.std().item() / 0.05 - 1) < 6 / (2 * values.numel()) ** 0.5, name  # 6 sigma
    own = model.deberta.encoder.layer[0].attention.self
    own.q_bias.data.fill_(3)
    model.reset_parameters()
    assert not own.q_bias.any()


def test_copies():
    model = filled(DebertaModel, CONFIG)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(IDS, MASK)[0], model(IDS, MASK)[0])


# Dtypes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", V1)
def test_other_dtypes(name, dtype):
    config = CASES[name].config.replace(num_labels=3)
    model = filled(DebertaForSequenceClassification, config).to(dtype)
    output = model(IDS, MASK, labels=torch.tensor([0, 1]), output_hidden_states=True, output_attentions=True)
    output.loss.backward()
    assert model.dtype == output.logits.dtype == output.hidden_states[-1].dtype == output.attentions[0].dtype == dtype
    assert output.logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model(IDS, torch.zeros_like(MASK)).logits.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", V1)
def test_under_autocast(name, train, dtype):
    """The biases of query and value stay float32 there; the attention stays half all the same."""
    model = filled(DebertaForSequenceClassification, CASES[name].config.replace(num_labels=3)).train(train)
    seen = []
    for layer in model.deberta.encoder.layer:
        layer.attention.self.register_forward_hook(lambda _, args, out: seen.extend(part.dtype for part in out))
    with torch.autocast("cpu", dtype):
        output = model(IDS, MASK, labels=torch.tensor([0, 2]))
    output.loss.backward()
    assert set(seen) == {dtype}
    assert output.logits.isfinite().all()
    assert output.loss.dtype == torch.float32
    assert all(
        p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None
    )
    if not train:
        plain = model(IDS, MASK).logits
        assert (output.logits.float() - plain).abs().max() < 0.2 * plain.abs().max()


# Graphs


@pytest.mark.parametrize("name", ["v1_talking_head", "v1_absolute_types"])
def test_a_compiled_model_gives_the_same(name):
    """A backbone as published, and the other heads, are in test_graphs."""
    torch.compiler.reset()
    model = filled(DebertaForSequenceClassification, CASES[name].config.replace(num_hidden_layers=1, num_labels=3))
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    for length in (7, 12):
        ids = torch.arange(2 * length).reshape(2, length) + 3
        mask = (torch.arange(length)[None] < torch.tensor([[length], [3]])).long()
        actual, expected = (run(ids, mask, labels=torch.tensor([0, 2])) for run in (compiled, model))
        assert type(actual) is type(expected)
        for key in ("logits", "loss"):
            assert_close(actual[key].detach().numpy(), expected[key].detach().numpy(), quantity=key, name=key)


# Dropout of talking heads


def test_heads_are_mixed_after_dropout():
    """The mix of dropped probabilities is what is reported and used."""
    torch.manual_seed(0)
    model = filled(DebertaModel, CONFIG.replace(num_hidden_layers=1, attention_probs_dropout_prob=0.5))
    still = model(IDS, output_attentions=True).attentions[0]
    own = model.encoder.layer[0].attention.self
    made = []
    own.dropout.register_forward_hook(lambda _, args, out: made.append((args[0], out)))
    own.dropout.train()
    with torch.no_grad():
        dropped = model(IDS, output_attentions=True).attentions[0]
    before, after = made[0]
    assert not torch.equal(before, after)
    weight = own.head_weights_proj.weight
    for values, mixed in ((before, still), (after, dropped)):
        expected = torch.einsum("gh,bhqk->bgqk", weight, values).detach()
        assert_close(mixed.detach().numpy(), expected.numpy(), quantity="attentions", name="mix")


def test_against_the_reference_with_padding_on_both_sides():
    params = random_params(CONFIG, None)
    model = filled(DebertaModel, CONFIG)
    inputs = {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()}
    expected = reference.forward(CONFIG, params, inputs)["last_hidden_state"][MASK.bool().numpy()]
    actual = model(IDS, MASK).last_hidden_state[MASK.bool()]
    assert_close(actual.detach().numpy(), expected, quantity="hidden", name="last_hidden_state")


def test_the_configuration_of_another_version_is_refused():
    for model, config in ((DebertaModel, DebertaV2Config), (DebertaV2ForMaskedLM, DebertaConfig)):
        with pytest.raises(ConfigError, match=rf"{model.__name__} takes a .*, not a {config.__name__}"):
            model(config())
