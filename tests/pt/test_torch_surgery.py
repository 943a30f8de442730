"""Pruned heads, resized and trimmed vocabularies, in PyTorch."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import deberta_torch
from conformance.suite.cases import CASES, random_inputs, random_params, task_inputs
from conformance.suite.compare import assert_close
from deberta_core import ConfigError, InputError
from deberta_core.parameters import expand
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_torch import (
    AutoModel,
    AutoModelForMaskedLM,
    DebertaV2ForMaskedLM,
    DebertaV2ForSequenceClassification,
    DebertaV2Model,
)

HEADS = {0: [1], 2: [3, 0]}
MODELS = ["v1_like", "v1_c2p", "v1_p2c", "v3_like", "v2_unshared", "v2_c2p", "v2_p2c", "v2_conv"]
TASK_CLASSES = {None: "Model", "masked_lm": "ForMaskedLM", "sequence_classification": "ForSequenceClassification"}


def model_of(name, task=None, **changes):
    config = CASES[name].config.replace(**changes)
    version = type(config).__name__.removesuffix("Config")
    model = getattr(deberta_torch, version + TASK_CLASSES[task])(config)
    model.load_state_dict({key: torch.from_numpy(values) for key, values in random_params(config, task).items()})
    return model.eval()


def tensors(inputs):
    return {name: torch.from_numpy(values) for name, values in inputs.items()}


def fits_the_table(model):
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {name: row.shape for name, row in expand(model.config, model.task).items()}
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert (module.out_features, module.in_features) == module.weight.shape
        if isinstance(module, nn.Embedding):
            assert (module.num_embeddings, module.embedding_dim) == module.weight.shape
        assert getattr(module, "config", model.config) is model.config


# Pruned heads


@pytest.mark.parametrize("name", MODELS)
def test_other_heads_compute_what_they_did(name):
    model = model_of(name)
    size = model.config.head_size
    inputs = tensors(random_inputs(model.config, 11))
    pruned = copy.deepcopy(model)
    pruned.prune_heads(HEADS)
    with torch.no_grad():
        for layer, heads in HEADS.items():
            for head in heads:
                columns = model.encoder.layer[layer].attention.output.dense.weight
                columns[:, head * size : (head + 1) * size] = 0
        expected, actual = (part(**inputs, output_attentions=True) for part in (model, pruned))
    real = inputs["attention_mask"].bool()
    assert_close(
        actual.last_hidden_state[real].numpy(), expected.last_hidden_state[real].numpy(), quantity="hidden", name=name
    )
    for layer, (made, whole) in enumerate(zip(actual.attentions, expected.attentions, strict=True)):
        kept = whole[:, list(pruned.config.kept_heads(layer))]
        assert_close(made.numpy(), kept.numpy(), quantity="attentions", name=f"{name} {layer}")
    fits_the_table(pruned)


def test_pruning_twice_is_pruning_once():
    once, twice = model_of("v1_like", "masked_lm"), model_of("v1_like", "masked_lm")
    once.prune_heads({0: [0, 2], 1: [3]})
    twice.prune_heads({0: [2]})
    twice.prune_heads({0: [0, 2], 1: [3]})
    assert once.config == twice.config
    assert once.config.pruned_heads == {0: (0, 2), 1: (3,)}
    state = twice.state_dict()
    assert all(torch.equal(values, state[name]) for name, values in once.state_dict().items())


@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_pruned_models_are_saved_and_read(format, tmp_path):
    model = model_of("v2_unshared", "sequence_classification")
    model.prune_heads(HEADS)
    model.save_pretrained(tmp_path, format=format)
    assert json.loads((tmp_path / "config.json").read_text())["pruned_heads"] == {"0": [1], "2": [0, 3]}
    inputs = tensors(random_inputs(model.config, 9))
    read = DebertaV2ForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(read(**inputs).logits, model(**inputs).logits)
    bare = AutoModel.from_pretrained(tmp_path)
    assert bare.config.heads_in(2) == 2
    fits_the_table(bare)


def test_pruned_models_train():
    model = model_of("v2_unshared", "sequence_classification").train()
    model.prune_heads(HEADS)
    before = {name: values.detach().clone() for name, values in model.named_parameters()}
    inputs = tensors(task_inputs(model.config.replace(num_labels=2), "sequence_classification", "inferred_single", 9))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(**inputs).loss.backward()
    optimizer.step()
    after = dict(model.named_parameters())
    trained = [name for name in before if ".attention." in name and name.endswith("weight")]
    assert not [name for name in trained if torch.equal(before[name], after[name])]


def test_a_compiled_model_can_be_pruned_afterwards():
    model = model_of("v3_like", num_hidden_layers=1)
    inputs = tensors(random_inputs(model.config, 9))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    compiled(**inputs)
    model.prune_heads({0: [1]})
    made, expected = (part(**inputs).last_hidden_state for part in (compiled, model))
    assert torch.equal(made, expected)
    made.sum().backward()
    assert model.encoder.layer[0].attention.self.value_proj.weight.grad.shape == (24, 32)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_changed_models(copied):
    model = model_of("v3_like", "masked_lm")
    model.prune_heads(HEADS)
    model.resize_token_embeddings(101)
    again = copied(model)
    inputs = tensors(random_inputs(model.config, 9))
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    again.prune_heads({1: [0]})
    assert model.config.heads_in(1) == 4
    fits_the_table(again)
    fits_the_table(model)


def test_dtype_mode_and_frozen_parameters_stay():
    model = model_of("v1_like", "masked_lm").to(torch.bfloat16).train()
    frozen = [
        "deberta.encoder.layer.0.attention.self.in_proj.weight",
        "deberta.embeddings.word_embeddings.weight",
    ]
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    model.prune_heads(HEADS)
    model.resize_token_embeddings(100)
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == frozen[::-1]


def test_hooks_stay():
    model, seen = model_of("v3_like"), []
    hook = model.encoder.layer[0].attention.self.query_proj.register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape[-1])
    )
    model.prune_heads(HEADS)
    model(**tensors(random_inputs(model.config, 9)))
    hook.remove()
    assert seen[0] == 24


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.prune_heads({0: [1]}),
        lambda model: model.resize_token_embeddings(200),
        lambda model: model.trim_vocabulary([0, 1]),
    ],
)
def test_an_inner_backbone_is_not_changed_alone(change):
    model = model_of("v3_like", "masked_lm")
    with pytest.raises(InputError, match="part of a task model, which must change with it"):
        change(model.deberta)
    fits_the_table(model)


def test_nothing_changes_where_the_heads_are_refused():
    model = model_of("v3_like")
    with pytest.raises(ConfigError, match="at least one head"):
        model.prune_heads({0: [1], 1: [0, 1, 2, 3]})
    fits_the_table(model)
    assert model.config == CASES["v3_like"].config


# Vocabulary


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["v1_like", "v2_embedding_ne_hidden"])
def test_a_resized_vocabulary_keeps_old_logits(name, legacy):
    model = model_of(name, "masked_lm", legacy=legacy)
    inputs = tensors(random_inputs(model.config, 9))
    with torch.no_grad():
        before = model(**inputs).logits
        torch.manual_seed(0)
        returned = model.resize_token_embeddings(100, pad_to_multiple_of=64, mean_resizing=False)
        assert returned is model.get_input_embeddings() is model.get_output_embeddings()
        after = model(**inputs).logits
    assert after.shape[-1] == model.config.vocab_size == 128
    assert_close(after[..., :97].numpy(), before.numpy(), quantity="logits", name=name)
    rows = returned.weight[97:].detach()
    assert 0.8 < rows.std() / model.config.initializer_range < 1.2
    assert not model.head.bias[97:].any()
    fits_the_table(model)


def test_growing_then_shrinking_changes_nothing():
    model = model_of("v3_like", "masked_lm")
    before, config = copy.deepcopy(model.state_dict()), model.config
    model.resize_token_embeddings(130)
    model.resize_token_embeddings(97)
    assert model.config == config
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


def test_without_a_size_nothing_changes():
    model = model_of("v3_like", "masked_lm")
    words = model.get_input_embeddings().weight
    assert model.resize_token_embeddings().weight is words


def test_gradients_reach_new_tokens():
    model = model_of("v2_padding_id", "masked_lm")
    model.resize_token_embeddings(99)
    ids = torch.tensor([[97, 98, 5, 7]])
    model(ids, labels=torch.tensor([[98, -100, -100, -100]])).loss.backward()
    grads = model.get_input_embeddings().weight.grad
    assert grads[97].any()
    assert grads[98].any()
    assert model.head.bias.grad[98] != 0
    bare = model_of("v2_padding_id")
    bare.resize_token_embeddings(99)
    bare(ids).last_hidden_state.sum().backward()
    grads = bare.get_input_embeddings().weight.grad
    assert grads[97].any()
    assert not grads[7].any()  # padding, as before


def test_the_padding_row_moves_with_its_token():
    model = model_of("v2_padding_id")
    model.trim_vocabulary([5, 7, 9])
    assert model.config.pad_token_id == model.get_input_embeddings().padding_idx == 1
    model(torch.tensor([[0, 1]])).last_hidden_state.sum().backward()
    assert model.get_input_embeddings().weight.grad.any(dim=1).tolist() == [True, False, False]


@pytest.fixture(scope="module")
def published(shared):
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.mark.parametrize("legacy", [True, False])
def test_a_trimmed_model_reads_real_texts_as_before(published, prose, legacy):
    """The vocabulary of v3: 128100 embeddings become those of a few hundred tokens."""
    config = CASES["v3_like"].config.replace(vocab_size=128100, legacy=legacy)
    model = DebertaV2ForMaskedLM(config).eval()
    nn.init.normal_(model.head.bias)
    texts = prose[:3]  # the logits over the whole vocabulary are large
    tokenizer, keep_ids = published.trim(texts)
    with torch.no_grad():
        expected = model(**published(texts, padding=True, return_tensors="pt")).logits[..., keep_ids]
        model.trim_vocabulary(keep_ids)
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        actual = model(**inputs).logits
    real = inputs["attention_mask"].bool()
    assert model.config.vocab_size == len(tokenizer) == len(keep_ids) < 500
    assert_close(actual[real].numpy(), expected[real].numpy(), quantity="logits", name="trimmed")
    labels = inputs["input_ids"].masked_fill(~real, -100)
    assert torch.isfinite(model(**inputs, labels=labels).loss)
    fits_the_table(model)


def test_a_trimmed_folder_is_a_checkpoint(small_tokenizer, prose, tmp_path):
    model = model_of("v3_like", "masked_lm", vocab_size=len(small_tokenizer))
    tokenizer, keep_ids = small_tokenizer.trim(prose[:5])
    model.trim_vocabulary(keep_ids)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    read = AutoModelForMaskedLM.from_pretrained(tmp_path)
    inputs = DebertaV2Tokenizer.from_pretrained(tmp_path)(prose[:5], padding=True, return_tensors="pt")
    assert torch.equal(read(**inputs).logits, model(**inputs).logits)


# Embeddings and counts


def test_embeddings_can_be_replaced():
    model = model_of("v2_padding_id", "masked_lm")
    table = nn.Embedding(97, 32)
    model.set_input_embeddings(table)
    assert model.deberta.get_input_embeddings() is table
    assert table.padding_idx == 7
    assert model.get_output_embeddings() is table
    assert model.deberta.get_output_embeddings() is None
    model.tie_weights()
    ids = torch.tensor([[1, 2]])
    model(ids).logits.sum().backward()
    assert table.weight.grad.any()


@pytest.mark.parametrize("rows", [50, 120])
def test_embeddings_of_another_vocabulary(rows):
    model = model_of("v2_padding_id", "masked_lm")
    table = nn.Embedding(rows, 32)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table
    assert model.config.vocab_size == model.deberta.config.vocab_size == rows
    assert model(torch.tensor([[1, rows - 1]])).logits.shape == (1, 2, rows)
    with pytest.raises(InputError, match="part of a task model"):
        model.deberta.set_input_embeddings(nn.Embedding(rows + 1, 32))
    assert model.deberta.get_input_embeddings() is table


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (nn.Embedding(97, 33), r"value is \(97, 33\): it must be a torch\.nn\.Embedding of width 32"),
        (nn.Linear(32, 97), "value is Linear: it must be"),
    ],
)
def test_other_embeddings_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        model_of("v3_like").set_input_embeddings(value)


def test_numbers_of_parameters():
    model = DebertaV2Model(CASES["v2_absolute_types"].config)
    config = model.config
    total = sum(row.size for row in expand(config, None).values())
    tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size + config.table_rows) * 32
    assert model.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - tables
    model.encoder.requires_grad_(False)
    frozen = sum(row.size for name, row in expand(config, None).items() if name.startswith("encoder."))
    assert model.num_parameters(only_trainable=True) == total - frozen
    model.prune_heads({0: [1]})
    assert model.num_parameters() == total - 4 * 8 * 32 - 3 * 8
    np.testing.assert_equal(model.num_parameters(), sum(row.size for row in expand(model.config, None).values()))
