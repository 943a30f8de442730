"""The backbone: outputs, input checks, initialisation, copies, dtypes, devices, graphs."""

import copy
import pickle

import pytest
import torch
import torch.utils._pytree as pytree
from torch import nn

import deberta_torch
from conformance.suite.cases import CASES, TASK_NAMES
from deberta_core import DebertaConfig, DebertaV2Config, InputError
from deberta_core.parameters import expand
from deberta_core.presets import PRESETS
from deberta_core.tasks import task_spec
from deberta_torch import BaseModelOutput, DebertaV2ForSequenceClassification, DebertaV2Model
from deberta_torch.activations import ACTIVATION_FUNCTIONS

CONFIG = CASES["v2_conv_groups"].config
CLASSES = {
    (version, task): getattr(deberta_torch, f"{version}{task_spec(task).class_suffix}")
    for version in ("Deberta", "DebertaV2")
    for task in TASK_NAMES
}
VERSIONS = {"deberta": "Deberta", "deberta-v2": "DebertaV2"}
SMALL_CONFIGS = {name: case.config for name, case in CASES.items()}
SMALL_CONFIGS |= {f"{name}_new_head": CASES[name].config.replace(legacy=False) for name in ("v1_like", "v3_like")}
PUBLISHED_CONFIGS = {name: DebertaConfig.preset(name) for name in PRESETS["deberta"]}
PUBLISHED_CONFIGS |= {name: DebertaV2Config.preset(name) for name in PRESETS["deberta-v2"]}
CONFIGS = SMALL_CONFIGS | PUBLISHED_CONFIGS
IDS = torch.arange(14).reshape(2, 7) + 5
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])


@pytest.fixture(scope="module")
def model() -> DebertaV2Model:
    torch.manual_seed(0)
    return DebertaV2Model(CONFIG).eval()


def test_every_task_has_its_class():
    for (version, task), cls in CLASSES.items():
        assert cls.task == task
        assert VERSIONS[cls.config_class.model_type] == version


# Published sizes differ in their backbone: two heads show that what a head takes from it fits.
@pytest.mark.parametrize(
    ("name", "task"),
    [
        *((name, task) for name in SMALL_CONFIGS for task in TASK_NAMES),
        *((name, task) for name in PUBLISHED_CONFIGS for task in ("masked_lm", "sequence_classification")),
    ],
)
def test_parameters_are_those_of_the_table(name, task):
    """In names, shapes and order of the published state dict; no buffers among them."""
    with torch.device("meta"):
        model = CLASSES[VERSIONS[CONFIGS[name].model_type], task](CONFIGS[name])
    table = expand(CONFIGS[name], task)
    state = model.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {key: row.shape for key, row in table.items()}
    assert set(dict(model.named_parameters())) == set(state)
    assert model.device.type == "meta"


# Outputs


def test_named_outputs(model):
    output = model(IDS, MASK)
    assert isinstance(output, BaseModelOutput)
    assert list(output.keys()) == ["last_hidden_state"]
    assert output.last_hidden_state.shape == (2, 7, CONFIG.hidden_size)
    output = model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True, output_attentions=True)
    assert list(output.keys()) == ["last_hidden_state", "hidden_states", "attentions"]
    assert len(output.hidden_states) == CONFIG.num_hidden_layers + 1
    assert len(output.attentions) == CONFIG.num_hidden_layers
    assert output.hidden_states[-1] is output.last_hidden_state
    assert {tuple(state.shape) for state in output.hidden_states} == {(2, 7, CONFIG.hidden_size)}
    assert {tuple(state.shape) for state in output.attentions} == {(2, CONFIG.num_attention_heads, 7, 7)}


def test_tuples_on_request(model):
    output = model(IDS, MASK, output_hidden_states=True, return_dict=False)
    assert type(output) is tuple
    assert [type(part) for part in output] == [torch.Tensor, tuple]


def test_outputs_are_pytrees(model):
    output = model(IDS, MASK, output_hidden_states=True)
    leaves, spec = pytree.tree_flatten(output)
    assert len(leaves) == 1 + CONFIG.num_hidden_layers + 1
    again = pytree.tree_unflatten(leaves, spec)
    assert type(again) is type(output)
    doubled = pytree.tree_map(lambda tensor: 2 * tensor, output)
    assert torch.equal(doubled.last_hidden_state, 2 * output.last_hidden_state)
    assert torch.equal(doubled.hidden_states[0], 2 * output.hidden_states[0])
    assert doubled.attentions is None


# Inputs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "neither of input_ids and inputs_embeds were given"),
        ({"input_ids": IDS, "inputs_embeds": torch.zeros(2, 7, 32)}, "both of input_ids and inputs_embeds"),
        ({"input_ids": [[1, 2]]}, r"input_ids is a list: it must be a torch\.Tensor\. Use torch\.as_tensor"),
        ({"input_ids": IDS.numpy()}, "input_ids is a ndarray"),
        ({"input_ids": IDS + 97}, r"input_ids holds 102: it must be in \[0, 97\)"),
        ({"input_ids": IDS.float()}, "input_ids has dtype float32"),
        ({"input_ids": IDS, "attention_mask": MASK[:1]}, r"attention_mask has shape \(1, 7\)"),
        ({"input_ids": IDS, "attention_mask": (1.0 - MASK) * -1e4}, r"attention_mask holds -10000.0"),
        ({"input_ids": IDS, "attention_mask": (1.0 - MASK).bfloat16() * -1e4}, r"attention_mask holds -9984.0"),
        ({"inputs_embeds": nn.Parameter(torch.zeros(2, 7, 31))}, "the last axis must be the embedding width 32"),
    ],
)
def test_inputs_that_are_refused(model, inputs, message):
    with pytest.raises(InputError, match=message):
        model(**inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": IDS, "attention_mask": MASK[:, :1]}, r"attention_mask has shape \(2, 1\)"),
        ({"input_ids": IDS, "attention_mask": MASK[0]}, r"attention_mask has shape \(7,\)"),
        ({"input_ids": IDS[0]}, r"input_ids has shape \(7,\)"),
        ({"input_ids": IDS.float()}, "input_ids has dtype float32"),
    ],
)
def test_shapes_are_checked_on_every_device(inputs, message):
    with pytest.raises(InputError, match=message):
        DebertaV2Model(CONFIG).to("meta")(**{name: value.to("meta") for name, value in inputs.items()})


def test_checks_do_not_stand_in_the_way_of_functional_transforms(model):
    params = dict(model.named_parameters())

    def total(params, ids, mask):
        return torch.func.functional_call(model, params, (ids[None], mask[None])).last_hidden_state.square().sum()

    grads = torch.func.vmap(torch.func.grad(total), in_dims=(None, 0, 0))(params, IDS, MASK)
    assert grads["encoder.rel_embeddings.weight"].shape == (2, CONFIG.table_rows, CONFIG.hidden_size)
    embeds = torch.randn(1, 3, CONFIG.embedding_width)
    grad = torch.func.grad(lambda e: model(inputs_embeds=e).last_hidden_state[0, 0, 0])(embeds)
    assert grad.isfinite().all()


# Initialisation


def test_initialisation():
    torch.manual_seed(1)
    config = CASES["v2_unshared"].config.replace(
        vocab_size=3000,
        hidden_size=64,
        intermediate_size=256,
        embedding_size=48,
        initializer_range=0.05,
        pad_token_id=7,
        type_vocab_size=40,
        conv_kernel_size=3,
        position_buckets=32,
    )
    model = DebertaV2ForSequenceClassification(config.replace(position_biased_input=True, num_labels=40))
    for name, value in model.state_dict().items():
        if "LayerNorm.weight" in name:
            assert (value == 1).all(), name
        elif name.endswith("bias"):
            assert (value == 0).all(), name
        else:
            values = value if "word_embeddings" not in name else torch.cat([value[:7], value[8:]])
            assert abs(values.std().item() / 0.05 - 1) < 6 / (2 * values.numel()) ** 0.5, name  # 6 sigma
            assert abs(values.mean().item() / 0.05) < 6 / values.numel() ** 0.5, name
            assert values.abs().max() > 0.15, name  # not truncated
    assert (model.deberta.embeddings.word_embeddings.weight[7] == 0).all()
    assert not (model.deberta.embeddings.token_type_embeddings.weight[7] == 0).any()


@pytest.mark.parametrize("task", TASK_NAMES)
def test_initialisation_is_reproducible(task):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(CLASSES["DebertaV2", task](CONFIG).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    name = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(*(state[name if task is None else f"deberta.{name}"] for state in states[1:]))


def test_the_padding_row_gets_no_gradient():
    model = DebertaV2Model(CONFIG.replace(pad_token_id=6))
    assert (IDS == 6).any()
    model(IDS).last_hidden_state.square().sum().backward()
    grad = model.embeddings.word_embeddings.weight.grad
    assert not grad[6].any()
    assert grad[7].any()


# Copies, dtypes, devices, graphs


@pytest.mark.parametrize("act", ACTIVATION_FUNCTIONS)
def test_copies(act):
    config = CONFIG.replace(hidden_act=act, conv_act=act, pooler_hidden_act=act)
    model = DebertaV2ForSequenceClassification(config).eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.config == config
        assert torch.equal(other(IDS, MASK).logits, model(IDS, MASK).logits)
        assert other.classifier.weight is not model.classifier.weight


def test_state_dicts_are_strict(model):
    state = model.state_dict()
    DebertaV2Model(CONFIG).load_state_dict(state, strict=True)
    del state["encoder.LayerNorm.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*encoder\.LayerNorm\.bias"):
        DebertaV2Model(CONFIG).load_state_dict(state, strict=True)


def test_a_published_file_loads_strictly(shared):
    folder = shared / "goldens" / "v2-v3-style"
    model = DebertaV2Model(DebertaV2Config.from_pretrained(folder))
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    model.load_state_dict(state, strict=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["v2_conv_groups", "v2_absolute_types", "v2_embedding_ne_hidden", "v2_no_relative"])
def test_other_dtypes(name, dtype):
    config = CASES[name].config
    model = DebertaV2ForSequenceClassification(config.replace(num_labels=3)).to(dtype)
    output = model(IDS, MASK, labels=torch.tensor([0, 1]), output_hidden_states=True)
    output.loss.backward()
    nothing = model(IDS, torch.zeros_like(MASK))
    assert nothing.logits.isfinite().all()
    assert model.dtype == output.logits.dtype == output.hidden_states[0].dtype == dtype
    assert output.logits.isfinite().all()
    assert all(state.isfinite().all() for state in output.hidden_states)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    embeds = torch.randn(2, 7, config.embedding_width)  # float32, as a caller may have them
    assert model(inputs_embeds=embeds).logits.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["v1_talking_head", "v3_like"])
def test_long_padded_batches_in_half_precision(name, dtype):
    """Longer than the positions the model was made for, one text nearly all padding: no NaN, no infinity."""
    config = CASES[name].config.replace(num_hidden_layers=2, num_labels=3)
    torch.manual_seed(0)
    model = CLASSES[VERSIONS[config.model_type], "token_classification"](config).to(dtype)
    ids = torch.arange(2 * 600).reshape(2, 600) % 90 + 5
    mask = (torch.arange(600) < torch.tensor([[600], [3]])).long()
    output = model(ids, mask, labels=torch.where(mask == 1, ids % 3, -100), output_hidden_states=True)
    output.loss.backward()
    assert all(state.isfinite().all() for state in (output.logits, *output.hidden_states))
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_under_autocast(model):
    with torch.autocast("cpu", torch.bfloat16):
        output = model(IDS, MASK, output_hidden_states=True).last_hidden_state
    assert output.isfinite().all()


def test_on_the_meta_device():
    with torch.device("meta"):
        model = DebertaV2Model(CONFIG)
        assert model(torch.zeros(2, 7, dtype=torch.long)).last_hidden_state.shape == (2, 7, CONFIG.hidden_size)
