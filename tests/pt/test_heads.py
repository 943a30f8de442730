"""Masked LM, token classification, question answering and multiple choice: outputs, labels, what is tied."""

import copy
import pickle

import numpy as np
import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES, LABEL_SETTINGS, TASK_NAMES, task_inputs
from conformance.suite.compare import assert_close
from deberta_core import InputError, WeightError
from deberta_core.tasks import TASKS, task_spec

V1, V2 = CASES["v1_like"].config, CASES["v3_like"].config
IDS = torch.arange(14).reshape(2, 7) + 5
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1]])
OTHERS = [task for task in TASK_NAMES if task not in (None, "sequence_classification")]

both = pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
legacies = pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "new"])


def class_of(config, task):
    version = {"deberta": "Deberta", "deberta-v2": "DebertaV2"}[config.model_type]
    return getattr(deberta_torch, version + task_spec(task).class_suffix)


def make(config, task, **changes):
    torch.manual_seed(0)
    changes = {"initializer_range": 0.3, "num_labels": 3} | changes
    return class_of(config, task)(config.replace(**changes)).eval()


def given(config, task, **changes):
    setting = next(iter(LABEL_SETTINGS[task]))
    arrays = task_inputs(config.replace(num_labels=3, **changes), task, setting, 7)
    # No text of padding tokens alone: it is all zeros in a fresh model, where LayerNorm's slope is without bounds.
    arrays["input_ids"] = np.maximum(arrays["input_ids"], 1)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


# Every task


@both
@pytest.mark.parametrize("task", OTHERS)
def test_named_outputs(config, task):
    model, spec = make(config, task), TASKS[task]
    inputs = given(config, task)
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert type(output).__mro__[1] is spec.output
    assert tuple(output.keys()) == spec.output.all_fields
    assert output.loss.shape == ()
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    assert len(output.attentions) == config.num_hidden_layers
    plain = model(**inputs, return_dict=False)
    assert type(plain) is tuple
    assert torch.equal(plain[0], output.loss)
    unlabelled = model(**{name: value for name, value in inputs.items() if name not in spec.labels})
    assert unlabelled.loss is None
    assert torch.equal(unlabelled[0], plain[1])


@both
def test_shapes_of_logits(config):
    assert make(config, "masked_lm")(IDS).logits.shape == (2, 7, 97)
    assert make(config, "token_classification")(IDS).logits.shape == (2, 7, 3)
    spans = make(config, "question_answering")(IDS)
    assert spans.start_logits.shape == spans.end_logits.shape == (2, 7)
    assert make(config, "multiple_choice")(IDS[None]).logits.shape == (1, 2)


@both
@pytest.mark.parametrize("task", OTHERS)
def test_ignored_labels_give_no_loss_and_no_gradient(config, task):
    model = make(config, task)
    inputs = given(config, task)
    for name in TASKS[task].labels:
        inputs[name] = torch.full_like(inputs[name], 7 if task == "question_answering" else -100)
    output = model(**inputs)
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert not any(parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


@both
@pytest.mark.parametrize("task", OTHERS)
def test_a_step_of_training_lowers_the_loss(config, task):
    model = make(config, task, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.001)
    inputs = given(config, task)
    before = model(**inputs).loss
    before.backward()
    optimizer.step()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is None} == set()
    assert model(**inputs).loss < before


@both
@pytest.mark.parametrize("task", OTHERS)
def test_half_precision_and_autocast(config, task):
    model = make(config, task)
    inputs = given(config, task)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            assert model(**inputs).loss.isfinite()
        output = copy.deepcopy(model).to(dtype)(**inputs)
        assert output.loss.dtype == torch.float32
        assert output.loss.isfinite()
        assert output[1].dtype == dtype


@pytest.mark.parametrize("task", ["masked_lm", "token_classification"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.full((2, 7), 1), "labels holds 1 at a padding position: labels must be -100 there"),
        (torch.full((2, 7), 97), "labels holds 97: a class must be"),
        (torch.full((2,), 1), r"labels has shape \(2,\), but 2 texts of 7 tokens takes \(2, 7\)"),
    ],
)
def test_token_labels_that_are_refused(task, labels, message):
    with pytest.raises(InputError, match=message):
        make(V1, task)(IDS, MASK, labels=labels)


# Masked LM


@both
@legacies
def test_the_decoder_is_tied(config, legacy):
    """Embeddings go in and come out: the gradient has both parts, and the decoder's reaches the padding row."""
    config = config.replace(embedding_size=24, pad_token_id=6)
    model = make(config, "masked_lm", legacy=legacy)
    words = model.deberta.embeddings.word_embeddings.weight
    labels = torch.where(MASK == 1, IDS, -100)
    output = model(IDS, MASK, labels=labels)
    (tied,) = torch.autograd.grad(output.loss, words)
    assert tied[6].any()
    unseen = sorted(set(range(97)) - set(IDS.flatten().tolist()))
    assert tied[unseen].abs().sum(dim=1).all()  # reached by the decoder alone
    # The same with two tables: the parts add up, and the padding row gets nothing from the lookup.
    decoder = words.detach().clone().requires_grad_()
    encoded = model.deberta.encode(IDS, MASK)
    logits = model.head(encoded.last_hidden_state, decoder)
    assert torch.equal(logits, output.logits)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    lookup, decoded = torch.autograd.grad(loss, (words, decoder))
    assert (IDS[MASK == 1] == 6).any()
    assert not lookup[6].any()
    assert lookup[7].any()
    assert_close(tied.numpy(), (lookup + decoded).numpy(), quantity="gradient", name="word embeddings")


@legacies
def test_changed_embeddings_change_the_decoder(legacy):
    model = make(V1, "masked_lm", legacy=legacy)
    before = model(IDS).logits
    with torch.no_grad():
        model.deberta.embeddings.word_embeddings.weight[90] += 1  # in no text
    after = model(IDS).logits
    others = [word for word in range(97) if word != 90]
    assert torch.equal(after[..., others], before[..., others])
    assert not torch.equal(after[..., 90], before[..., 90])
    assert not any("decoder" in name for name in model.state_dict())


@both
@legacies
def test_the_head_is_where_it_is_published(config, legacy):
    model = make(config, "masked_lm", legacy=legacy)
    tops = {name.split(".")[0] for name in model.state_dict()}
    assert tops == {"deberta", "cls" if legacy else "lm_predictions"}


DUPLICATES = {
    "cls.predictions.decoder.weight": "deberta.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def with_duplicates(model):
    state = model.state_dict()
    return state | {name: state[tied].clone() for name, tied in DUPLICATES.items()}


@both
def test_tied_duplicates_of_a_state_dict_are_dropped(config):
    model, other = make(config, "masked_lm"), make(config, "masked_lm", initializer_range=0.1)
    state = with_duplicates(model)
    other.load_state_dict(state, strict=True)
    assert set(DUPLICATES) <= set(state)  # the caller's stays as it is
    assert torch.equal(other(IDS).logits, model(IDS).logits)
    wrapped = torch.nn.ModuleDict({"inner": make(config, "masked_lm")})
    wrapped.load_state_dict({f"inner.{name}": value for name, value in state.items()}, strict=True)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        copied.load_state_dict(state, strict=True)


@pytest.mark.parametrize(("name", "tied"), DUPLICATES.items())
def test_duplicates_that_differ_are_refused(name, tied):
    model = make(V1, "masked_lm")
    for wrong in (with_duplicates(model)[name] + 1, torch.zeros(3)):
        with pytest.raises(WeightError, match=rf"^{name} differs from {tied}, but the decoder is tied to it"):
            model.load_state_dict(with_duplicates(model) | {name: wrong})


def test_a_duplicate_without_its_tensor_is_not_taken_for_it():
    model = make(V1, "masked_lm")
    state = with_duplicates(model)
    del state["cls.predictions.bias"]
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*cls\.predictions\.bias.*Unexpected key.*decoder\.bias"):
        model.load_state_dict(state)
    state = with_duplicates(model)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*cls\.predictions\.decoder"):
        make(V1, "token_classification").load_state_dict(state)


# Question answering


@both
def test_the_loss_of_spans(config):
    """The mean of both sides, over real positions only."""
    model = make(config, "question_answering")
    output = model(IDS, MASK, start_positions=torch.tensor([2, 0]), end_positions=torch.tensor([4, 6]))
    start, end = (logits.masked_fill(MASK == 0, float("-inf")) for logits in output[1:3])
    losses = [
        -start[0].log_softmax(-1)[2] - start[1].log_softmax(-1)[2],  # 0 is the context token: position 2 there
        -end[0].log_softmax(-1)[4] - end[1].log_softmax(-1)[6],
    ]
    assert_close(output.loss.detach().numpy(), (sum(losses) / 4).detach().numpy(), quantity="loss", name="spans")


@both
def test_padding_does_not_change_the_loss_of_spans(config):
    model = make(config, "question_answering")
    positions = {"start_positions": torch.tensor([0]), "end_positions": torch.tensor([3])}
    alone = model(IDS[:1], **positions).loss
    padded = torch.nn.functional.pad(IDS[:1], (0, 5))
    mask = torch.nn.functional.pad(torch.ones(1, 7), (0, 5))
    assert_close(
        model(padded, mask, **positions).loss.detach().numpy(), alone.detach().numpy(), quantity="loss", name=""
    )


def test_positions_beyond_the_text_do_not_count():
    model = make(V1, "question_answering")

    def loss(start, end):
        positions = {"start_positions": torch.tensor(start), "end_positions": torch.tensor(end)}
        return model(IDS, MASK, **positions).loss.item()

    assert loss([7, 1000], [7, 8]) == 0.0
    assert loss([5, 1], [6, 1]) == 0.0  # on padding
    assert loss([-4, 3], [2, -1]) == loss([0, 3], [2, 0])
    assert loss([[1], [3]], [[2], [4]]) == loss([1, 3], [2, 4])
    assert model(IDS, start_positions=torch.tensor([1, 1])).loss is None
    with pytest.raises(InputError, match=r"end_positions has shape \(3,\), but 2 texts"):
        loss([1, 1], [1, 1, 1])


# Multiple choice


@both
@pytest.mark.parametrize("form", ["ids", "embeds", "rank 4", "rank 5", "bool", "types"])
def test_choices_are_texts_of_their_own(config, form):
    """Every input in every form is folded alike."""
    config = config.replace(type_vocab_size=3, position_biased_input=True, embedding_size=24)
    model = make(config, "multiple_choice")
    inputs = given(config, "multiple_choice", type_vocab_size=3)
    labels = inputs.pop("labels")
    mask = inputs["attention_mask"]
    if form == "embeds":
        inputs["inputs_embeds"] = model.deberta.embeddings.word_embeddings(inputs.pop("input_ids")).detach()
    elif form.startswith("rank"):
        wide = mask[:, :, None].expand(3, 4, 7, 7)
        inputs["attention_mask"] = wide if form == "rank 4" else wide[:, :, None]
    elif form == "bool":
        inputs["attention_mask"] = mask.bool()
    output = model(**inputs, labels=labels)
    single = class_of(config, "sequence_classification")(model.config.replace(num_labels=1)).eval()
    single.load_state_dict(model.state_dict())
    rows = [single(**{name: value[text] for name, value in inputs.items()}).logits[:, 0] for text in range(3)]
    expected = torch.stack(rows).detach()
    assert_close(output.logits.detach().numpy(), expected.numpy(), quantity="logits", name=form)
    loss = torch.nn.functional.cross_entropy(expected, labels)
    assert_close(output.loss.detach().numpy(), loss.numpy(), quantity="loss", name=form)
    shared = model(**inputs | {"position_ids": torch.arange(7)[None, None]})
    assert shared.logits.shape == (3, 4)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": IDS}, r"input_ids has shape \(2, 7\): multiple choice takes \[B, N, L\]"),
        ({"input_ids": IDS[None], "attention_mask": MASK}, r"attention_mask has shape \(2, 7\): multiple choice"),
        ({"input_ids": IDS[None], "attention_mask": MASK[:, None]}, r"attention_mask has shape \(2, 1, 7\): the first"),
        ({"inputs_embeds": torch.zeros(2, 7, 32)}, r"inputs_embeds has shape \(2, 7, 32\): .*\[B, N, L, E\]"),
        (
            {"input_ids": IDS[None], "labels": torch.tensor([2])},
            r"labels holds 2: a class must be an integer in \[0, 2",
        ),
        ({"input_ids": IDS[None], "labels": torch.tensor([0, 1])}, r"labels has shape \(2,\), but 1 texts"),
        ({"input_ids": IDS[None, :0]}, "a text must have at least one choice"),
        ({}, "neither of input_ids and inputs_embeds"),
    ],
)
def test_what_multiple_choice_refuses(inputs, message):
    with pytest.raises(InputError, match=message):
        make(V1, "multiple_choice")(**inputs)


def test_a_list_is_no_tensor():
    with pytest.raises(InputError, match="input_ids is a list"):
        make(V1, "multiple_choice")([[[1, 2]]])


def test_exported_choices_have_any_sizes():
    model = make(V1, "multiple_choice")
    dims = {axis: torch.export.Dim(name, min=2, max=64) for axis, name in enumerate(("batch", "choices", "length"))}
    ids = torch.arange(42).reshape(2, 3, 7) + 1
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    exported = torch.export.export(model, (), inputs, dynamic_shapes=dict.fromkeys(inputs, dims), strict=False).module()
    ids = torch.arange(80).reshape(4, 5, 4) + 1
    mask = (torch.arange(4) < 3).long().expand(4, 5, 4)
    actual, expected = (run(input_ids=ids, attention_mask=mask).logits for run in (exported, model))
    assert torch.equal(actual, expected)
