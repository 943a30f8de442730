"""Recipes of fine-tuning in PyTorch, against what they are by hand."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conformance.suite.compare import assert_close
from deberta_dual.backends.torch_recipes import Terms, WeightAverage, perturbed
from deberta_dual.finetuning import TrainingOptions, finetune
from deberta_torch import DebertaV2ForSequenceClassification
from deberta_torch.sift import SiFT
from tests.finetuning_data import QUIET, small_start, write_examples
from tests.sift_cases import distillation_gradient, make_case

TASK = "text-classification"


@pytest.fixture
def case(request):
    """A model with dropout in training mode, and a batch."""
    config, _, batch, _ = make_case(getattr(request, "param", "classes"))
    torch.manual_seed(0)
    dropout = dict.fromkeys(QUIET, 0.1)
    model = DebertaV2ForSequenceClassification(config.replace(**dropout))
    return model.train(), {name: torch.from_numpy(array) for name, array in batch.items()}


def same(found, wanted, quantity="gradient"):
    scale = max(float(wanted.detach().abs().max()), 1.0)
    assert_close(found.detach().numpy(), wanted.detach().numpy(), quantity=quantity, name=quantity, scale=scale)


def gradients(loss, model):
    return torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)


def test_r_drop_by_hand(case):
    model, batch = case
    torch.manual_seed(1)
    logits = [model(**batch).logits for _ in range(2)]
    p, q = (one.softmax(-1) for one in logits)
    divergence = ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)).mean() / 2
    task = sum(F.cross_entropy(one, batch["labels"]) for one in logits) / 2
    wanted = gradients(task + 3 * divergence, model)
    torch.manual_seed(1)
    with Terms(model, TrainingOptions(r_drop=3.0)) as terms:
        loss, added = terms.of(model(**batch), batch)
    same(loss, task, "loss")
    same(added, 3 * divergence, "loss")
    assert added > 0
    for found, right in zip(gradients(loss + added, model), wanted, strict=True):
        assert (found is None) == (right is None)
        if found is not None:
            same(found, right)


@pytest.mark.parametrize("case", ["classes", "labels", "numbers"], indirect=True)
def test_distillation_by_hand(case, request):
    model, batch = case
    output = model(**batch)
    teacher = torch.from_numpy(np.random.default_rng(0).standard_normal(output.logits.shape).astype(np.float32))
    with Terms(model, TrainingOptions(teacher="one", teacher_temperature=2.0, teacher_weight=0.7)) as terms:
        loss, added = terms.of(output, batch, teacher)
        _, none = terms.of(output, batch, output.logits.detach())
    same(loss, 0.3 * output.loss, "loss")
    same(none, torch.zeros(()), "loss")
    (found,) = torch.autograd.grad(added, output.logits)
    kind, logits = request.node.callspec.params["case"], output.logits.detach().numpy()
    wanted = 0.7 * distillation_gradient(kind, logits, teacher.numpy(), 2.0)
    same(found, torch.from_numpy(wanted.astype(np.float32)))


def test_sift_is_the_librarys(case):
    model, batch = case
    torch.manual_seed(1)
    with SiFT(model, 5.0) as sift:
        wanted = sift.loss(model(**batch), **batch)
    torch.manual_seed(1)
    with Terms(model, TrainingOptions(sift=5.0)) as terms:
        _, added = terms.of(model(**batch), batch)
    assert torch.equal(added, wanted)
    assert not Terms(model, TrainingOptions())


def test_weights_are_perturbed_and_put_back(case):
    model, batch = case
    model(**batch).loss.backward()
    before = copy.deepcopy(model)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    with perturbed(model, 0.1):
        for (name, moved), own in zip(model.named_parameters(), before.parameters(), strict=True):
            assert moved.grad is None
            gradient = found[name]
            if gradient is None or own.dim() == 1 or not gradient.any():
                assert torch.equal(moved, own)
            else:
                same(moved, own + 0.1 * gradient / gradient.norm() * own.norm())
                assert not torch.equal(moved, own)
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)


def test_averages_by_hand(case):
    model, _ = case
    average = WeightAverage(model, 0.9)
    parameter = next(model.parameters())
    weights = [parameter.detach().clone()]
    wanted = weights[0]
    for _ in range(3):
        with torch.no_grad():
            parameter.add_(1.0)
        average.update()
        weights.append(parameter.detach().clone())
        wanted = 0.9 * wanted + 0.1 * weights[-1]
    with average.in_place():
        same(parameter, wanted)
    assert torch.equal(parameter, weights[-1])


@pytest.fixture
def learn(prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, TASK, prose)

    def run(name, changes=None, judged=True, **options):
        start = small_start(tmp_path / "tokenizer", small_tokenizer, **(changes or {}))
        options = {
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "framework": "torch",
            "device": "cpu",
            **options,
        }
        options |= {"eval_data": file} if judged else {}
        rows = finetune(TASK, file, tmp_path / name, start, **options_of(options))
        return rows, weights_of(tmp_path / name)

    run.folder = tmp_path
    return run


def options_of(options):
    names = set(TrainingOptions.__dataclass_fields__)
    training = TrainingOptions(**{name: value for name, value in options.items() if name in names})
    return {"training": training} | {name: value for name, value in options.items() if name not in names}


def weights_of(folder):
    return DebertaV2ForSequenceClassification.from_pretrained(folder).state_dict()


def test_the_saved_model_is_the_average(learn):
    """And the training does not know of it."""
    found = {}
    for name, decay in {"plain": 0.0, "ema": 0.8}.items():
        kept = found[name] = []

        def keep(row, kept=kept, name=name):
            if "step" in row:
                kept.append(weights_of(learn.folder / name)["classifier.weight"].clone())

        learn(name, judged=False, evaluate_every=1, ema=decay, report=keep)
    for before, after, own in zip(found["ema"], found["ema"][1:], found["plain"][1:], strict=False):
        same(after, 0.8 * before + 0.2 * own)
    assert not torch.equal(found["ema"][-1], found["plain"][-1])


def test_a_killed_run_goes_on_with_its_recipes(learn):
    recipes = {"ema": 0.9, "awp": 0.01, "awp_start": 2, "r_drop": 1.0, "sift": 1.0, "evaluate_every": 3}
    _, wanted = learn("whole", **recipes)

    class Killed(BaseException):
        pass

    def kill(row):
        if row["step"] == 6:
            raise Killed

    with pytest.raises(Killed):
        learn("killed", report=kill, **recipes)
    _, found = learn("killed", resume=True, **recipes)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_perturbation_begins_at_its_step(learn):
    _, plain = learn("plain")
    _, late = learn("late", awp=0.01, awp_start=1000)
    _, other = learn("awp", awp=0.01)
    assert all(torch.equal(plain[name], late[name]) for name in plain)
    assert not all(torch.equal(plain[name], other[name]) for name in plain)


@pytest.mark.parametrize("recipe", [{"class_weights": "balanced"}, {"r_drop": 1.0}, {"awp": 0.01}])
def test_pieces_change_nothing(learn, recipe):
    rows = [learn(str(pieces), QUIET, accumulation=pieces, epochs=1, **recipe)[0] for pieces in (1, 3)]
    for one, other in zip(*rows, strict=True):
        assert_close(np.array([one["loss"]]), np.array([other["loss"]]), quantity="training curve, AdamW", name="loss")
