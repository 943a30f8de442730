"""`deberta_torch.optimize` on models inside of other packages' objects: the same results, by the packed layers.

`python -m tools.clients.optimize_within_clients`, in an environment with transformers 4.57 or 5, datasets,
accelerate, sentence-transformers and, with 4.57, GLiNER. Prints a line of JSON
for each package.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from conformance.tolerances import TOLERANCES
from deberta_core import DebertaV2Tokenizer, DebertaV2TokenizerFast
from deberta_torch import optimize, restore
from tools.clients.optimize_transformers import count_calls, make
from tools.clients.report import report

ENVIRONMENTS = ("hf4", "hf5")
TEXTS = [
    "The trout went first, then the herons.",
    "In the end the people who had lived from fishing left Port Louis for Paris.",
    "Anna Weber wrote it down; nobody read it.",
]
BOUND = TOLERANCES["logits"].limit


def save(folder: str, head: str, **changes: Any) -> None:
    """A tiny v3 checkpoint of transformers with a tokenizer, in a folder."""
    tokenizer = DebertaV2Tokenizer.train(TEXTS, vocab_size=300, hard_vocab_limit=False)
    tokenizer.save_pretrained(folder)
    DebertaV2TokenizerFast.from_pretrained(folder).save_pretrained(folder)
    make("v3", head, vocab_size=len(tokenizer) + 8, **changes).save_pretrained(folder)


def compare(model: torch.nn.Module, answer: Callable[[], Any]) -> None:
    """An answer, made of numbers, before and after; the packed layers must have been used, and leave no trace."""
    expected = answer()
    optimize(model)
    calls = count_calls(model)
    actual = answer()
    assert calls, "the packed layers were not used"
    assert_close(actual, expected)
    restore(model)
    assert_close(answer(), expected)


def assert_close(actual: Any, expected: Any) -> None:
    """The same, and numbers to within the bound."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for name in expected:
            assert_close(actual[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, str):
        assert actual == expected
    else:
        difference = np.abs(np.asarray(actual) - np.asarray(expected)).max()
        assert difference < BOUND * max(1.0, np.abs(np.asarray(expected)).max()), difference


def trainer() -> None:
    """Trainer.evaluate and predict, and training between them."""
    import datasets

    with tempfile.TemporaryDirectory() as folder:
        save(folder, "ForSequenceClassification")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        data = datasets.Dataset.from_dict({**tokenizer(TEXTS * 3), "labels": [0, 1, 0] * 3})
        options = transformers.TrainingArguments(
            folder, report_to=[], use_cpu=True, disable_tqdm=True, max_steps=2, learning_rate=1e-2, save_strategy="no"
        )
        work = transformers.Trainer(model, options, train_dataset=data, processing_class=tokenizer)
        compare(model, lambda: (work.evaluate(data)["eval_loss"], work.predict(data).predictions))
        before = optimize(model).classifier.weight.detach().clone()
        work.train()
        assert not torch.equal(before, model.classifier.weight)
        compare(model, lambda: (work.evaluate(data)["eval_loss"], work.predict(data).predictions))


def pipelines() -> None:
    """transformers.pipeline: text, token and zero-shot classification, fill-mask, embeddings."""
    for task, head, inputs in (
        ("text-classification", "ForSequenceClassification", (TEXTS,)),
        ("token-classification", "ForTokenClassification", (TEXTS,)),
        ("zero-shot-classification", "ForSequenceClassification", (TEXTS, ["fish", "birds", "a town"])),
        ("fill-mask", "ForMaskedLM", ("The [MASK] went first.",)),
        ("feature-extraction", "Model", (TEXTS,)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            save(folder, head)
            run = transformers.pipeline(task, model=folder, device="cpu", batch_size=2)
            compare(run.model, functools.partial(run, *inputs))


def sentence_transformers() -> None:
    """CrossEncoder.predict and rank, SentenceTransformer.encode."""
    import sentence_transformers

    with tempfile.TemporaryDirectory() as folder:
        save(folder, "ForSequenceClassification", num_labels=1)
        encoder = sentence_transformers.CrossEncoder(folder, device="cpu")
        compare(encoder, lambda: (encoder.predict([TEXTS[:2], TEXTS[1:]]), encoder.rank(TEXTS[0], TEXTS)))
    with tempfile.TemporaryDirectory() as folder:
        save(folder, "Model")
        sentences = sentence_transformers.SentenceTransformer(folder, device="cpu")
        compare(sentences, lambda: sentences.encode(TEXTS))


def gliner() -> None:
    """GLiNER.predict_entities."""
    import gliner

    with tempfile.TemporaryDirectory() as folder:
        save(folder, "Model")
        config = gliner.GLiNERConfig(
            model_name=folder, hidden_size=32, max_width=4, max_len=64, num_rnn_layers=1, fine_tune=True
        )
        torch.manual_seed(0)
        model = gliner.GLiNER.from_config(config)
        model.eval()
        labels = ["person", "town", "animal"]
        found = model.predict_entities(TEXTS[1], labels, threshold=0.3)
        assert found, "no spans to compare"
        compare(model, lambda: [model.predict_entities(text, labels, threshold=0.3) for text in TEXTS])


CHECKS = {"transformers": (trainer, pipelines), "sentence-transformers": (sentence_transformers,), "gliner": (gliner,)}


def main() -> None:
    """Checks all."""
    logging.disable(logging.WARNING)
    for package, functions in CHECKS.items():
        if package == "gliner" and transformers.__version__ >= "5":
            continue  # which takes transformers 4 only
        for function in functions:
            function()
        report(package, [function.__doc__ or "" for function in functions], takes="its own model, by `optimize`")


if __name__ == "__main__":
    main()
