"""`deberta_torch.as_transformers`: what asks for transformers' classes takes our models, and computes with them.

`python -m tools.clients.bridge`, in an environment with transformers 4.57 or 5, accelerate, datasets,
PEFT and sentence-transformers. Prints a line of JSON for each package.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import logging
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

import deberta_torch
from deberta_dual import pipeline
from deberta_torch import as_transformers, optimize, restore
from tools.clients.report import report

TEXTS = [
    "The trout went first, then the herons.",
    "In the end the people who had lived from fishing left Port Louis for Paris.",
    "Anna Weber wrote it down; nobody read it.",
    "Where is the river? It is behind the mill.",
]
ENVIRONMENTS = ("hf4", "hf5")
LABELS = {0: "bad", 1: "good", 2: "entailment"}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SWITCHES = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ("c2p", "p2c")}
BUCKETS = {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}
FAMILIES: dict[str, dict[str, Any]] = {"Deberta": {}, "DebertaV2": BUCKETS}
KINDS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
CHECKS: dict[str, list[Callable[[], None]]] = {}  # package -> what is checked of it


def check(package: str) -> Callable[[Callable[[], None]], None]:
    """Adds a function to what is checked of a package, by its docstring."""
    return CHECKS.setdefault(package, []).append


def make(kind: str = "ForSequenceClassification", family: str = "DebertaV2", **changes: Any) -> tuple[Any, Any]:
    """One of our models with random weights, and a trained tokenizer."""
    torch.manual_seed(0)
    options = {"hard_vocab_limit": False} if family == "DebertaV2" else {}
    tokenizer = getattr(deberta_torch, f"{family}Tokenizer").train(TEXTS, vocab_size=300, **options)
    fields: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, "initializer_range": 0.3}
    fields |= {"id2label": LABELS, **SIZES, **SWITCHES, **FAMILIES[family], **changes}
    model = getattr(deberta_torch, f"{family}{kind}")(getattr(deberta_torch, f"{family}Config")(**fields))
    return model.eval(), tokenizer


def batch_of(tokenizer: Any, kind: str = "") -> dict[str, Any]:
    """The texts, padded; as two choices of two for multiple choice."""
    batch = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    return {name: one.view(2, 2, -1) for name, one in batch.items()} if kind.endswith("Choice") else batch


def same(left: Any, right: Any) -> bool:
    """Whether results of pipelines agree: floats to 1e-5, all else exactly."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) or hasattr(left, "dtype"):
        return bool(abs(float(left) - float(right)) < 1e-5)
    return bool(left == right)


@check("transformers")
def models() -> None:
    """6 heads of v1 and v3: classes, names, outputs, copies and pickles; both libraries load what is saved."""
    for family, kind in itertools.product(FAMILIES, KINDS):
        if (family, kind) == ("Deberta", "ForMultipleChoice"):
            continue  # which transformers does not have
        model, tokenizer = make(kind, family)
        bridge, fast = as_transformers(model, tokenizer)
        theirs = getattr(transformers, f"{family}{kind}")
        assert isinstance(bridge, getattr(transformers, f"{family}PreTrainedModel"))
        assert isinstance(bridge.config, getattr(transformers, f"{family}Config"))
        assert bridge.state_dict().keys() == model.state_dict().keys()
        assert all(one is other for one, other in zip(bridge.parameters(), model.parameters(), strict=True))
        batch = batch_of(tokenizer, kind)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            expected = model(**batch, output_hidden_states=True)
            actual = bridge(**batch, output_hidden_states=True)
            assert isinstance(actual, transformers.utils.ModelOutput)
            assert list(actual) == list(expected.keys())
            assert torch.equal(actual[0], expected[0])
            assert torch.equal(bridge(*batch.values(), return_dict=False)[0], model(*batch.values())[0])
            for other in (copy.deepcopy(bridge), pickle.loads(pickle.dumps(bridge))):
                assert torch.equal(other(**batch)[0], expected[0])
                next(other.parameters()).zero_()
            assert torch.equal(bridge(**batch)[0], expected[0])
            optimize(bridge)
            assert (bridge(**batch)[0] - expected[0])[:, 0].abs().max() < 1e-4
            restore(bridge)
            bridge.save_pretrained(folder)
            fast.save_pretrained(folder)
            read, report = theirs.from_pretrained(folder, output_loading_info=True)
            assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
            real = batch["attention_mask"].bool()
            close = read.eval()(**batch)[0] - expected[0]
            close = close[real] if close.shape[:2] == real.shape else close
            assert close.abs().max() < 1e-4 * expected[0].abs().max()
            names = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
            assert read.state_dict().keys() - bridge.state_dict().keys() <= names
            bridge.load_state_dict(read.state_dict())
            again = getattr(deberta_torch, f"{family}{kind}").from_pretrained(folder)
            assert torch.equal(again(**batch)[0], expected[0])
            assert torch.equal(type(bridge).from_pretrained(folder)(**batch)[0], expected[0])
            for auto in (transformers.AutoTokenizer, deberta_torch.AutoTokenizer):
                assert auto.from_pretrained(folder)(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


@check("transformers")
def tokenizers() -> None:
    """The tokenizer's ids, pairs, truncation, added tokens, special tokens and options."""
    for family in FAMILIES:
        model, tokenizer = make(family=family)
        tokenizer.add_tokens(["<CHEMICAL>"])
        tokenizer.add_special_tokens({"additional_special_tokens": ["[E]"]})
        tokenizer.padding_side, tokenizer.model_max_length = "left", 12
        fast = as_transformers(model, tokenizer)[1]
        assert isinstance(fast, transformers.PreTrainedTokenizerFast)
        texts = [*TEXTS, "", "  two  spaces ", "<CHEMICAL> and[E]more", "naïve ﬁne １２ 漢字 🙂", "tab\tand\nline"]
        for options in ({}, {"padding": True}, {"truncation": True}, {"max_length": 7, "truncation": True}):
            expected = dict(tokenizer(texts, **options))
            assert dict(fast(texts, **options)) == expected, (family, options)
            if "truncation" not in options:  # pairs are shortened as the slow classes do it, which the fast ones do not
                expected = dict(tokenizer(texts, texts[::-1], **options))
                assert dict(fast(texts, texts[::-1], **options)) == expected, (family, options)
        for name in ("pad", "cls", "sep", "unk", "mask"):
            assert getattr(fast, f"{name}_token_id") == getattr(tokenizer, f"{name}_token_id")
        ids = tokenizer(texts)["input_ids"]
        assert len(fast) == len(tokenizer)
        assert fast.batch_decode(ids, skip_special_tokens=True)[:2] == TEXTS[:2]


@check("transformers")
def trainer() -> None:
    """Trainer: train, evaluate, predict, checkpoints, resume, best model, gradient checkpointing."""
    import datasets

    model, tokenizer = make(num_labels=3)
    bridge, fast = as_transformers(model, tokenizer)
    data = datasets.Dataset.from_dict({"text": TEXTS * 4, "label": [0, 1, 2, 1] * 4, "other": list(range(16))})
    data = data.map(lambda rows: fast(rows["text"], truncation=True), batched=True)
    with tempfile.TemporaryDirectory() as folder:
        options = transformers.TrainingArguments(
            folder,
            num_train_epochs=2,
            per_device_train_batch_size=4,
            learning_rate=5e-3,
            gradient_checkpointing=True,
            gradient_accumulation_steps=2,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )

        def start(model: Any) -> Any:
            return transformers.Trainer(
                model,
                options,
                train_dataset=data,
                eval_dataset=data,
                processing_class=fast,
                compute_metrics=lambda found: {
                    "right": float((found.predictions.argmax(-1) == found.label_ids).mean())
                },
            )

        before = model.classifier.weight.detach().clone()
        work = start(bridge)
        first = work.evaluate()
        work.train()
        after = work.evaluate()
        assert after["eval_loss"] < first["eval_loss"], (first, after)
        assert not torch.equal(before, model.classifier.weight)
        logits = work.predict(data).predictions
        with torch.no_grad():
            expected = model.eval()(**fast(TEXTS, padding=True, return_tensors="pt")).logits
        assert abs(logits[:4] - expected.numpy()).max() < 1e-5
        work.save_model(f"{folder}/whole")
        for classes in (transformers, deberta_torch):
            read = classes.AutoModelForSequenceClassification.from_pretrained(f"{folder}/whole").eval()
            with torch.no_grad():
                assert (read(**fast(TEXTS, padding=True, return_tensors="pt")).logits - expected).abs().max() < 1e-4
        checkpoint = min(Path(folder).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        resumed = start(as_transformers(make(num_labels=3)[0]))
        assert resumed.train(resume_from_checkpoint=str(checkpoint)).global_step == work.state.global_step


@check("transformers")
def pipelines() -> None:
    """Six pipelines of transformers give what ours give."""
    mask = "The [MASK] went first."
    question = {"question": "Where is the river?", "context": TEXTS[3]}
    zero_shot = {"candidate_labels": ["fish", "birds", "towns"]}
    for task, kind, inputs, options in (
        ("text-classification", "ForSequenceClassification", (TEXTS,), {"top_k": None}),
        ("token-classification", "ForTokenClassification", (TEXTS[1],), {}),
        ("zero-shot-classification", "ForSequenceClassification", (TEXTS[0],), zero_shot),
        ("fill-mask", "ForMaskedLM", (mask,), {}),
        ("feature-extraction", "Model", (TEXTS[0],), {}),
        ("question-answering", "ForQuestionAnswering", (), question),
    ):
        if task == "question-answering" and transformers.__version__[0] == "5":
            continue  # which has no such pipeline
        for family in FAMILIES:
            model, tokenizer = make(kind, family)
            bridge, fast = as_transformers(model, tokenizer)
            own = {"align_to_words": False} if task == "question-answering" else {}  # spans of tokens, as ours
            run = transformers.pipeline(task, model=bridge, tokenizer=fast, device="cpu")
            theirs = run(*inputs, **options, **own)
            ours = pipeline(task, model=model, tokenizer=tokenizer)(*inputs, **options)
            if task == "feature-extraction":
                theirs, ours = (torch.as_tensor(one).squeeze().tolist() for one in (theirs, ours))
            # Spans of the tokenizers library begin with the space before a word, and its texts put it elsewhere.
            left_out = {"token-classification": "start", "fill-mask": "sequence"}.get(task)
            if left_out:
                theirs, ours = ([{**one, left_out: None} for one in found] for found in (theirs, ours))
            assert same(theirs, ours), (task, theirs, ours)


def adapters(model: Any, batch: dict[str, Any], task_type: str | None, folder: str) -> None:
    """Trains LoRA adapters and a classifier, saves, loads and merges them."""
    import peft

    again = copy.deepcopy(model)
    options = peft.LoraConfig(
        task_type=task_type, target_modules=["query_proj", "value_proj"], modules_to_save=["classifier"], r=4
    )
    adapted = peft.get_peft_model(model, options)
    optimizer = torch.optim.AdamW([parameter for parameter in adapted.parameters() if parameter.requires_grad], lr=1e-2)
    losses = []
    adapted.train()
    for _ in range(8):
        optimizer.zero_grad()
        loss = adapted(**batch, labels=torch.tensor([0, 1, 2, 1])).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < losses[0], losses
    adapted.eval()
    with torch.no_grad():
        expected = adapted(**batch).logits
        adapted.save_pretrained(folder)
        loaded = peft.PeftModel.from_pretrained(again, folder).eval()
        assert (loaded(**batch).logits - expected).abs().max() < 1e-5
        merged = loaded.merge_and_unload()
        assert (merged(**batch).logits - expected).abs().max() < 1e-4


@check("peft")
def lora() -> None:
    """LoRA trained, saved, loaded and merged, on the wrapped model and on ours, and across libraries."""
    import peft
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        bridge, fast = as_transformers(*make())
        batch = dict(fast(TEXTS, padding=True, return_tensors="pt"))
        adapters(bridge, batch, "SEQ_CLS", f"{folder}/bridge")
        adapters(make()[0], batch, None, f"{folder}/raw")
        make()[0].save_pretrained(f"{folder}/base")
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(f"{folder}/base")
        adapters(theirs, batch, "SEQ_CLS", f"{folder}/theirs")
        names = [set(load_file(f"{folder}/{one}/adapter_model.safetensors")) for one in ("bridge", "raw", "theirs")]
        assert names[0] == names[1] == names[2]
        for trained in ("bridge", "raw", "theirs"):
            logits = []
            for base in (
                as_transformers(make()[0]),
                make()[0],
                transformers.AutoModelForSequenceClassification.from_pretrained(f"{folder}/base"),
            ):
                with torch.no_grad():
                    model = peft.PeftModel.from_pretrained(base, f"{folder}/{trained}").eval()
                    logits.append(model(**batch).logits)
            assert all((one - logits[0]).abs().max() < 1e-4 for one in logits), trained


@check("sentence-transformers")
def cross_encoder() -> None:
    """SentenceTransformer and CrossEncoder over the bridge, our model as it is, and our folder."""
    import sentence_transformers

    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3])]
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = make(num_labels=1, id2label={0: "score"})
        bridge, fast = as_transformers(model, tokenizer)
        bridge.save_pretrained(folder)
        fast.save_pretrained(folder)
        encoder = sentence_transformers.CrossEncoder(folder, device="cpu", max_length=128)
        scores = encoder.predict(pairs)
        with torch.no_grad():
            logits = model(**tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt")).logits
        assert abs(scores - logits.sigmoid()[:, 0].numpy()).max() < 1e-5
        holder = encoder if "model" in vars(encoder) or "model" in encoder._modules else encoder[0]
        name = "model" if hasattr(holder, "model") and not isinstance(holder, torch.nn.Sequential) else "auto_model"
        for one in (model, bridge):
            setattr(holder, name, one)
            assert abs(encoder.predict(pairs) - scores).max() < 1e-6
        optimize(encoder)
        assert abs(encoder.predict(pairs) - scores).max() < 1e-5
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = make("Model")
        bridge, fast = as_transformers(model, tokenizer)
        bridge.save_pretrained(folder)
        fast.save_pretrained(folder)
        sentences = sentence_transformers.SentenceTransformer(folder, device="cpu")
        vectors = sentences.encode(TEXTS)
        for one in (model, bridge):
            setattr(sentences[0], "model" if "model" in sentences[0]._modules else "auto_model", one)
            assert abs(sentences.encode(TEXTS) - vectors).max() < 1e-5
        assert abs(pipeline("sentence-embeddings", model=folder)(TEXTS) - vectors).max() < 1e-5


@check("transformers")
def changes() -> None:
    """Resizing, freezing, other embeddings and DataParallel's replicas."""
    model, tokenizer = make("ForMaskedLM")
    bridge, fast = as_transformers(model, tokenizer)
    assert bridge.resize_token_embeddings(320).num_embeddings == 320 == bridge.config.vocab_size
    assert bridge.get_output_embeddings() is bridge.get_input_embeddings() is model.get_input_embeddings()
    batch = dict(fast(TEXTS, padding=True, return_tensors="pt"))
    replica = bridge._replicate_for_data_parallel()
    replica._modules = copy.deepcopy(bridge._modules)
    with torch.no_grad():
        assert bridge(**batch).logits.shape[-1] == 320
        for parameter in itertools.chain(*(one.parameters() for one in replica._modules.values())):
            parameter.zero_()
        assert not replica(**batch).logits.any()
        assert bridge(**batch).logits.any()
    bridge.train()
    assert model.training
    assert "labels" in inspect.signature(bridge.forward).parameters


def main() -> None:
    """Checks all."""
    logging.disable(logging.WARNING)
    for package, functions in CHECKS.items():
        for function in functions:
            print(function.__doc__, flush=True, file=sys.stderr)
            function()
        report(package, [function.__doc__ or "" for function in functions], takes="the bridge")


if __name__ == "__main__":
    main()
