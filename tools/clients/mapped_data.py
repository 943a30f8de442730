"""`datasets`: our tokenizer in `map`, in batches; what it gives through a collator of transformers into our model."""

from __future__ import annotations

from typing import Any

import datasets
import torch
import transformers

from tools.clients.report import report
from tools.clients.tiny import LABELS, TEXTS, make

ENVIRONMENTS = ("hf4", "hf5")


def texts() -> str:
    """`map(batched=True) and with_format("torch")`: the ids of single calls, and a loss."""
    model, tokenizer = make()
    data = datasets.Dataset.from_dict({"text": TEXTS * 3, "labels": LABELS * 3})
    data = data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=16), batched=True, batch_size=5)
    for row in data:
        assert row["input_ids"] == tokenizer(row["text"], truncation=True, max_length=16)["input_ids"]
    data = data.remove_columns("text").with_format("torch")
    loader = torch.utils.data.DataLoader(data, 4, collate_fn=transformers.DataCollatorWithPadding(tokenizer))
    losses = [model(**batch).loss.item() for batch in loader]
    assert len(losses) == 3
    assert max(losses) - min(losses) < 1e-6
    return texts.__doc__ or ""


def words() -> str:
    """Words and their labels, aligned by word_ids and padded by DataCollatorForTokenClassification."""
    model, tokenizer = make("ForTokenClassification", num_labels=3)
    rows: dict[str, list[Any]] = {"tokens": [text.split() for text in TEXTS]}
    rows["ner_tags"] = [[number % 3 for number in range(len(row))] for row in rows["tokens"]]

    def align(rows: dict[str, Any]) -> Any:
        encoded = tokenizer(rows["tokens"], is_split_into_words=True)
        encoded["labels"] = []
        for number, tags in enumerate(rows["ner_tags"]):
            before, labels = None, []
            for word in encoded.word_ids(number):
                labels.append(-100 if word is None or word == before else tags[word])
                before = word
            encoded["labels"].append(labels)
        return encoded

    data = datasets.Dataset.from_dict(rows).map(align, batched=True, remove_columns=["tokens", "ner_tags"])
    for tags, labels in zip(rows["ner_tags"], data["labels"], strict=True):
        assert [label for label in labels if label != -100] == tags
    batch = transformers.DataCollatorForTokenClassification(tokenizer)(list(data))
    kept = batch["labels"] != -100
    assert not (kept & (batch["attention_mask"] == 0)).any()
    output = model(**batch)
    expected = torch.nn.functional.cross_entropy(output.logits[kept], batch["labels"][kept])
    torch.testing.assert_close(output.loss, expected)
    return words.__doc__ or ""


if __name__ == "__main__":
    datasets.disable_progress_bars()
    report("datasets", [check() for check in (texts, words)])
