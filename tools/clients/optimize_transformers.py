"""`deberta_torch.optimize` on models of transformers: the same numbers everywhere, and everything else as it was.

`python -m tools.clients.optimize_transformers`, in an environment with transformers 4.57 or 5, and PEFT.
Prints one line of JSON with what was checked.
"""

from __future__ import annotations

import copy
import functools
import io
import itertools
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from conformance.tolerances import TOLERANCES
from deberta_core.errors import InputError
from deberta_torch import changing_weights, optimize, restore
from tools.clients.report import report

ENVIRONMENTS = ("hf4", "hf5")
BOUND = TOLERANCES["fused hidden"].limit
SMALL = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
RELATIVE = {"relative_attention": True, "position_biased_input": False, "initializer_range": 0.3, **SMALL}
BUCKETS = {"position_buckets": 8, "max_position_embeddings": 24, "norm_rel_ebd": "layer_norm", "share_att_key": True}
VERSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "v1": ("Deberta", {"pos_att_type": ["c2p", "p2c"], "max_position_embeddings": 24, **RELATIVE}),
    "v1, absolute positions": ("Deberta", {**SMALL, "initializer_range": 0.3, "type_vocab_size": 2}),
    "v2 with convolution": (
        "DebertaV2",
        {"pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3, "conv_act": "gelu", **BUCKETS, **RELATIVE},
    ),
    "v2, own projections": ("DebertaV2", {"pos_att_type": "c2p|p2c", **RELATIVE, "hidden_act": "gelu_new"}),
    "v3": ("DebertaV2", {"pos_att_type": ["p2c", "c2p"], **BUCKETS, **RELATIVE}),
}
HEADS = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "Model")
LENGTH = 21
WORST: dict[float, float] = {}  # bound -> the largest difference seen
CHECKS: list[tuple[str, Callable[[], None]]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    """Adds a function to what is checked, by the first line of its docstring."""
    CHECKS.append(((function.__doc__ or "").splitlines()[0], function))
    return function


def make(version: str, head: str = "Model", **changes: Any) -> Any:
    """A model of transformers with random weights, LayerNorms and biases too."""
    family, fields = VERSIONS[version]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**fields, **changes})
    model = getattr(transformers, f"{family}{head}")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch(padding: str = "right", length: int = LENGTH) -> dict[str, Any]:
    """Ids and mask of three texts."""
    ids = torch.randint(1, 99, (3, length), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    if padding == "right":
        mask[1, length // 2 :] = mask[2, 2:] = 0
    elif padding == "left":
        mask[1, : length // 2] = mask[2, :-2] = 0
    elif padding == "holes":
        mask[0, 3:6] = mask[1, :2] = mask[1, 9] = 0
    elif padding == "an empty text":
        mask[2] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def tensors(output: Any) -> Iterator[Tensor]:
    """All tensors of an output, in order."""
    for value in output.values() if isinstance(output, dict) else output:
        if isinstance(value, Tensor):
            yield value
        elif value is not None:
            yield from tensors(value)


def assert_same(actual: Any, expected: Any, bound: float = BOUND) -> None:
    """The same types, and numbers within the bound, relative to the largest; at padding, too."""
    assert type(actual) is type(expected), (type(actual), type(expected))
    ours, theirs = list(tensors(actual)), list(tensors(expected))
    assert [(one.shape, one.dtype) for one in ours] == [(one.shape, one.dtype) for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        difference = (one - other).abs().max().item() / max(1.0, other.abs().max().item())
        assert difference <= bound, f"differs by {difference:.3g}"
        WORST[bound] = max(WORST.get(bound, 0.0), difference)


def compare(model: Any, *arguments: Any, bound: float = BOUND, dtype: str = "float32", **inputs: Any) -> None:
    """The model before and after `optimize`, which must have done something."""
    with torch.inference_mode():
        expected = restore(model)(*arguments, **inputs)
        optimize(model, dtype)
        calls = count_calls(model)
        assert_same(model(*arguments, **inputs), expected, bound)
    assert calls, "the packed layers were not used"


def count_calls(model: nn.Module) -> list[int]:
    """A list that grows with every call of packed layers."""
    calls: list[int] = []

    def counted(run: Callable[..., Any], *arguments: Any) -> Any:
        calls.append(1)
        return run(*arguments)

    for module in model.modules():
        forward = vars(module).get("forward")
        if forward is not None:
            forward.packed._run = functools.partial(counted, forward.packed._run)
    return calls


@check
def heads() -> None:
    """5 heads of v1, v2 and v3, without padding, to the right, to the left, with holes and of an empty text."""
    for version, head in itertools.product(VERSIONS, HEADS):
        model = make(version, head)
        for padding in ("none", "right", "left", "holes", "an empty text"):
            compare(model, **batch(padding), output_hidden_states=True)
            compare(model, **batch(padding), return_dict=False)
        compare(model, batch("none")["input_ids"])
        compare(model, inputs_embeds=torch.randn(2, 9, 32))
    choices = {name: value.view(1, 3, -1) for name, value in batch().items()}
    compare(make("v3", "ForMultipleChoice"), **choices)


@check
def lengths() -> None:
    """Texts of 1 to 700 tokens, beyond the reach of positions."""
    for version, length in itertools.product(("v1", "v2 with convolution", "v3"), (1, 2, 40, 130, 700)):
        compare(make(version), **batch("right", length), bound=4 * BOUND)


@check
def types_of_masks() -> None:
    """Masks of bool, float and int32, and those that are left to transformers."""
    for dtype in (torch.bool, torch.float32, torch.int32):
        inputs = batch()
        compare(make("v3"), inputs["input_ids"], inputs["attention_mask"].to(dtype))
    model, inputs = make("v3"), batch()
    encoder, hidden = model.encoder, torch.randn(3, LENGTH, 32)
    pairs = torch.ones(3, LENGTH, LENGTH).tril()
    with torch.inference_mode():
        for arguments in ((hidden, inputs["attention_mask"]), (hidden, pairs), (hidden, pairs[:, None])):
            expected = restore(model).encoder(*arguments)
            optimize(model)
            calls = count_calls(model)
            assert_same(encoder(*arguments), expected, 0.0)
            assert not calls


@check
def attentions() -> None:
    """Attentions and gradients are transformers' own, bit for bit, and so is training."""
    for version in VERSIONS:
        model = make(version, "ForSequenceClassification", hidden_dropout_prob=0.1)
        inputs = batch()
        with torch.no_grad():
            expected = model(**inputs, output_attentions=True)
            optimize(model)
            assert_same(model(**inputs, output_attentions=True), expected, 0.0)
        for training in (False, True):
            results = []
            for change in (restore, optimize):
                change(model).train(training)
                model.zero_grad()
                torch.manual_seed(1)
                loss = model(**inputs, labels=torch.tensor([0, 1, 0])).loss
                loss.backward()
                results.append([loss.detach(), *(one.grad for one in model.parameters() if one.grad is not None)])
            assert_same(results[1], results[0], 0.0)
    model = optimize(make("v3"))
    model.encoder.layer[1].output.dropout.train()  # dropout at inference
    with torch.no_grad():
        assert not torch.equal(model(**batch())[0], model(**batch())[0])


@check
def restored() -> None:
    """restore() leaves no trace; optimize() leaves parameters and state_dict as they are."""
    model = make("v3", "ForMaskedLM")
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    hooks = {name: len(module._forward_pre_hooks) for name, module in model.named_modules()}
    state = {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()}
    with torch.no_grad():
        optimize(optimize(model))(**batch())
    after = model.state_dict()
    assert list(after) == list(state)
    assert all(
        value.data_ptr() == state[name][0] and torch.equal(value, state[name][1]) for name, value in after.items()
    )
    restore(model)
    assert {name: list(vars(module)) for name, module in model.named_modules()} == {
        name: list(values) for name, values in before.items()
    }
    assert {name: len(module._forward_pre_hooks) for name, module in model.named_modules()} == hooks
    assert model.deberta.encoder.forward.__func__ is type(model.deberta.encoder).forward


@check
def changes() -> None:
    """Changed, loaded, replaced and half-precision weights are packed anew."""
    model = optimize(make("v2 with convolution"))
    inputs = batch()
    with torch.no_grad():
        model(**inputs)
        for change in (
            lambda: model.encoder.layer[1].output.dense.weight.mul_(1.5),
            lambda: model.load_state_dict({name: 1.1 * value for name, value in model.state_dict().items()}),
            lambda: model.load_state_dict(
                {name: 0.9 * value for name, value in model.state_dict().items()}, assign=True
            ),
            lambda: setattr(model.encoder, "layer", model.encoder.layer[:2]),
            lambda: setattr(model.encoder.layer[0].output, "dense", nn.Linear(64, 32)),
        ):
            change()
            actual = model(**inputs)
            fresh = restore(copy.deepcopy(model))
            assert_same(actual, fresh(**inputs))
        for dtype, bound in ((torch.bfloat16, 0.1), (torch.float64, 0.0)):
            model.to(dtype)
            assert_same(model(**inputs), restore(copy.deepcopy(model))(**inputs), bound)


@check
def fewer_bits() -> None:
    """bfloat16 and int8."""
    for version, dtype in itertools.product(VERSIONS, ("bfloat16", "int8")):
        compare(
            make(version, initializer_range=0.1), **batch(), dtype=dtype, bound=TOLERANCES[f"optimized {dtype}"].limit
        )


@check
def copies() -> None:
    """Deep copies, pickles and torch.save keep being fast, each with its own weights."""
    model = optimize(make("v3", "ForTokenClassification"))
    inputs = batch()
    with torch.no_grad():
        expected = model(**inputs)
        stream = io.BytesIO()
        torch.save(model, stream)
        stream.seek(0)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(stream, weights_only=False)):
            calls = count_calls(other)
            assert_same(other(**inputs), expected, 0.0)
            assert calls
            assert vars(other.deberta.encoder)["forward"]._encoder is other.deberta.encoder
            other.deberta.encoder.layer[0].output.dense.weight.zero_()
            assert (other(**inputs).logits - expected.logits).abs().max() > 0.01
            assert_same(model(**inputs), expected, 0.0)
            assert "forward" not in vars(restore(other).deberta.encoder)


@check
def threads() -> None:
    """Threads share a model, and weights change between calls."""
    model = optimize(make("v3", "ForSequenceClassification"))
    states = [copy.deepcopy(model.state_dict()), {name: 1.2 * one for name, one in model.state_dict().items()}]
    expected, wrong = [], []
    with torch.no_grad():
        for state in states:
            model.load_state_dict(state)
            expected.append(model(**batch()).logits)
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            with torch.no_grad():
                logits = model(**batch()).logits
            if not any((logits - one).abs().max() <= 1e-6 for one in expected):
                wrong.append(logits)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    for number in range(40):
        if number % 2:
            model.load_state_dict(states[number // 2 % 2])
        else:
            with torch.no_grad(), changing_weights(model):
                for name, value in model.state_dict().items():
                    value.copy_(states[number // 2 % 2][name])
    stop.set()
    for thread in asking:
        thread.join()
    assert not wrong


@check
def traced() -> None:
    """torch.jit.trace, torch.export and torch.compile see transformers' operators."""
    model = optimize(make("v3"))
    inputs = batch()
    with torch.no_grad():
        expected = restore(model)(**inputs).last_hidden_state
        optimize(model)
        compiled = torch.compile(model, backend="eager")(**inputs).last_hidden_state
        assert_same([compiled], [expected], 1e-6)
        traced = torch.jit.trace(model, tuple(inputs.values()), strict=False)(*inputs.values())
        assert_same([traced["last_hidden_state"]], [expected], 1e-6)


@check
def refused() -> None:
    """Unknown classes, own forwards, hooks, talking heads and unmerged adapters are refused by name."""
    import peft

    known: Any = transformers.models.deberta_v2.modeling_deberta_v2

    class Encoder(known.DebertaV2Encoder):  # type: ignore[misc]  # transformers is untyped here
        pass

    class Model(transformers.DebertaV2Model):  # type: ignore[misc]  # the same
        def forward(self, *arguments: Any, **keywords: Any) -> Any:
            return super().forward(*arguments, **keywords)

    def problem(work: Callable[[], Any]) -> str:
        try:
            work()
        except InputError as found:
            return str(found)
        raise AssertionError("it was taken")

    def refuses(model: nn.Module, *words: str) -> None:
        said = problem(lambda: optimize(model))
        assert all(word in said for word in words), said
        assert all("forward" not in vars(module) for module in model.modules() if module is not patched)

    patched: Any = None
    fields = VERSIONS["v3"][1]
    refuses(nn.Linear(2, 2), "Linear holds no DeBERTa encoder")
    refuses(transformers.BertModel(transformers.BertConfig(**SMALL)), "BertModel holds no DeBERTa encoder")
    refuses(Model(transformers.DebertaV2Config(**fields)), "Model, whose forward is its own")
    model = make("v3")
    model.encoder = Encoder(model.config)
    refuses(model, "Encoder, in the place of transformers' encoder")
    refuses(nn.ModuleList([model.encoder]), "Encoder, derived from transformers' encoder")
    refuses(make("v1", talking_head=True), "talking heads")
    model = make("v3")
    model.encoder.layer[0].register_forward_hook(lambda *arguments: None)
    refuses(model, "encoder.layer.0 has a forward hook")
    model = make("v3")
    model.encoder.layer[1].intermediate.intermediate_act_fn = nn.ELU()
    refuses(model, "what ELU(alpha=1.0) computes")
    model = make("v3")
    patched = model.encoder.layer[2].output
    patched.forward = patched.forward
    refuses(model, "encoder.layer.2.output", "whose forward was replaced")
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query_proj", "value_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(make("v3", "ForSequenceClassification"), lora)
    patched = None
    refuses(adapted, "query_proj is a peft.", "merge adapters")
    compare(adapted.merge_and_unload().eval(), **batch())
    adapted = peft.get_peft_model(optimize(make("v3", "ForSequenceClassification")), lora).eval()
    with torch.no_grad():
        assert "peft" in problem(lambda: adapted(**batch()))
        restore(adapted)(**batch())


def main() -> None:
    """Checks all."""
    logging.disable(logging.WARNING)
    for name, function in CHECKS:
        print(name, flush=True, file=sys.stderr)
        function()
    print(f"largest difference: {WORST[BOUND]:.1e}", file=sys.stderr)
    report("transformers", [name for name, _ in CHECKS], takes="its own model, by `optimize`")


if __name__ == "__main__":
    main()
