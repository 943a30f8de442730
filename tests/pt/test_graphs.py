"""Models as graphs and as replicas: torch.export, torch.compile, DataParallel."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn.parallel import replicate, scatter_gather

import deberta_torch
from conformance.suite.cases import CASES, TASK_NAMES
from conformance.suite.compare import assert_close
from deberta_core.tasks import task_spec
from deberta_torch import DebertaV2ForSequenceClassification, DebertaV2Model

CONFIG = CASES["v2_conv_groups"].config
CONFIGS = {"Deberta": CASES["v1_like"].config, "DebertaV2": CONFIG}
# The tasks differ in a head, the versions in the projections: these go through all of both; the rest is marked slow.
QUICK = {("Deberta", "masked_lm"), ("DebertaV2", "multiple_choice"), ("DebertaV2", "question_answering")}
BATCH, LENGTH = torch.export.Dim("batch", max=64), torch.export.Dim("length", min=2, max=500)


def models(quick: set[tuple[str, str]]) -> list[Any]:
    """Parameters of a test: all versions and tasks, of which these are for every day."""
    return [
        pytest.param(version, task, marks=() if (version, task) in quick else pytest.mark.slow)
        for version in CONFIGS
        for task in TASK_NAMES
    ]


def make(version: str, task: str | None) -> torch.nn.Module:
    torch.manual_seed(0)
    cls = getattr(deberta_torch, f"{version}{task_spec(task).class_suffix}")
    return cls(CONFIGS[version].replace(num_hidden_layers=1, num_labels=3)).eval()


def make_inputs(batch: int, length: int, task: str | None = None) -> dict[str, Tensor]:
    """Ids and a mask with padding; with an axis for three choices where the task has choices."""
    shape = (batch, 3, length) if task_spec(task).folds_choices else (batch, length)
    ids = torch.arange(torch.Size(shape).numel()).reshape(shape) % 90 + 5
    mask = torch.ones_like(ids)
    mask[-1, ..., length // 2 + 1 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def make_labels(batch: int, length: int, task: str | None) -> dict[str, Tensor]:
    """Labels of every kind, each in a range that every task allows."""
    spec = task_spec(task)
    shape = (batch, length) if spec.name in ("masked_lm", "token_classification") else (batch,)
    labels = torch.arange(torch.Size(shape).numel()).reshape(shape) % 3
    if len(shape) == 2:
        labels[-1, length // 2 + 1 :] = -100
    return dict.fromkeys(spec.labels, labels)


@pytest.mark.skipif(torch.__version__ < "2.7", reason="torch 2.6 guards against lengths beyond the span, or below it")
@pytest.mark.parametrize(("version", "task"), models(QUICK))
def test_an_exported_program_serves_any_batch_and_length(version, task, tmp_path):
    """Saved, loaded, and run with sizes it has not seen; with the loss, where the task has one."""
    model = make(version, task)
    example = make_inputs(2, 7, task) | make_labels(2, 7, task)
    axes = {
        name: {0: BATCH} if value.dim() == 1 else {0: BATCH, value.dim() - 1: LENGTH} for name, value in example.items()
    }
    program = torch.export.export(model, (), example, dynamic_shapes=axes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for batch, length in ((2, 7), (3, 33)):
        inputs = make_inputs(batch, length, task) | make_labels(batch, length, task)
        actual, expected = loaded(**inputs), model(**inputs)
        assert type(actual) is type(expected)
        assert all(map(torch.equal, actual, expected))


@pytest.mark.parametrize(("version", "task"), models(QUICK | {("DebertaV2", "token_classification")}))
def test_compilation_is_whole_and_does_not_start_again_for_every_length(version, task):
    """With the loss, where the task has one."""
    torch.compiler.reset()
    model = make(version, task)
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for batch, length in ((2, 7), (2, 9), (3, 9)):  # torch learns here that the axes vary
        compiled(**make_inputs(batch, length, task), **make_labels(batch, length, task))
    learned = counter.frame_count
    for batch, length in ((4, 12), (5, 31), (3, 8), (2, 40)):
        inputs = make_inputs(batch, length, task) | make_labels(batch, length, task)
        assert all(map(torch.equal, compiled(**inputs), model(**inputs)))
    spare = torch.__version__ < "2.7"  # torch 2.6 has graphs on either side of the span, whichever comes later
    assert counter.frame_count <= learned + spare
    assert learned <= 3


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_model_gives_the_same(backend):
    torch.compiler.reset()
    model = make("DebertaV2", "sequence_classification")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for length in (7, 12):
        inputs = make_inputs(2, length) | {"labels": torch.tensor([0, 2])}
        actual, expected = compiled(**inputs), model(**inputs)
        assert type(actual) is type(expected)
        for name in ("logits", "loss"):
            assert_close(actual[name].detach().numpy(), expected[name].detach().numpy(), quantity=name, name=name)


def test_a_compiled_training_step():
    torch.compiler.reset()
    torch.manual_seed(0)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = CONFIG.replace(num_hidden_layers=1, num_labels=3, **off)
    model = DebertaV2ForSequenceClassification(config).train()
    inputs = make_inputs(2, 7) | {"labels": torch.tensor([0, 2])}
    gradients = []
    for run in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        run(**inputs).loss.backward()
        gradients.append({name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None})
    eager, compiled = gradients
    assert eager.keys() == compiled.keys()
    for name in eager:
        assert_close(compiled[name], eager[name], quantity="gradient", name=name)


def test_data_parallel_replicas(monkeypatch):
    """torch's DataParallel, step by step, with its moves between GPUs replaced by copies: there is no GPU in CI."""

    def copies(tensors, devices, detach=False):
        return [[tensor * 1 for tensor in tensors] for _ in devices]

    monkeypatch.setitem(replicate.__globals__, "_broadcast_coalesced_reshape", copies)
    monkeypatch.setattr(scatter_gather.Gather, "apply", lambda target, axis, *parts: torch.cat(tuple(parts), axis))
    model = DebertaV2Model(CONFIG).eval()
    inputs = make_inputs(4, 7)
    replicas = replicate(model, [0, 1], detach=True)
    options = {"output_attentions": True, "output_hidden_states": True}
    parts = [
        replica(**{k: v[2 * n : 2 * n + 2] for k, v in inputs.items()}, **options) for n, replica in enumerate(replicas)
    ]
    gathered = scatter_gather.gather(parts, "cpu")
    expected = model(**inputs, **options)
    assert type(gathered) is type(expected)
    assert torch.equal(gathered.last_hidden_state, expected.last_hidden_state)
    assert all(map(torch.equal, gathered.attentions, expected.attentions))
