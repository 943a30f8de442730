"""optimum and sentence-transformers: folders of `deberta export --to onnx`, in their classes for ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from optimum import onnxruntime

from deberta_dual import Start, TrainingOptions, export, finetune, pipeline
from tools.clients.report import report
from tools.clients.tiny import TEXTS, batch_of, make

ENVIRONMENTS = ("optimum",)
# A head of ours -> the class of optimum.
CLASSES = {
    "ForSequenceClassification": "ORTModelForSequenceClassification",
    "ForTokenClassification": "ORTModelForTokenClassification",
    "ForQuestionAnswering": "ORTModelForQuestionAnswering",
    "ForMaskedLM": "ORTModelForMaskedLM",
    "Model": "ORTModelForFeatureExtraction",
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def same(kind: str, place: Path, types: int) -> None:
    """An exported folder in a class of optimum gives what our model gives, at real tokens."""
    model, tokenizer = make(kind, type_vocab_size=types)
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    export(place / "model", place / "exported")
    theirs = getattr(onnxruntime, CLASSES[kind]).from_pretrained(place / "exported")
    for texts in (TEXTS, TEXTS[:1]):
        batch = batch_of(tokenizer, texts)
        if types:
            batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
        with torch.inference_mode():
            expected = model(**batch)
        kept = batch["attention_mask"].bool()
        for name, found in theirs(**batch).items():
            wanted = expected[name]
            where = kept if wanted.shape[:2] == kept.shape else slice(None)
            difference = (found - wanted)[where].abs().max() / wanted[where].abs().max()
            assert difference <= 1e-5, f"{kind}, {types} token types, {name}: {difference}"


def vectors(place: Path) -> None:
    """A sentence encoder of ours, exported: sentence-transformers gives our vectors."""
    rows = [{"anchor": text, "positive": " ".join(reversed(text.split()))} for text in TEXTS]
    start = Start(preset="deberta-v3-small", changes={**SIZES, "position_buckets": 8}, vocab_size=310)
    training = TrainingOptions(epochs=1, batch_size=4, learning_rate=1e-3)
    finetune("sentence-embeddings", rows, place / "model", start, training, pooling="mean", max_length=16, device="cpu")
    ours = np.stack(pipeline("sentence-embeddings", place / "model", device="cpu", truncation=True)(TEXTS))
    export(place / "model", place / "exported")
    theirs = sentence_transformers.SentenceTransformer(str(place / "exported"), backend="onnx", device="cpu")
    assert np.abs(theirs.encode(TEXTS) - ours).max() <= 1e-5
    pairs = [{"query": "river", "document": text, "relevance": number} for number, text in enumerate(TEXTS)]
    finetune("ranking", pairs, place / "ranker", start, training, loss="pairwise", max_length=24, device="cpu")
    export(place / "ranker", place / "exported-ranker")
    crossed = sentence_transformers.CrossEncoder(str(place / "exported-ranker"), backend="onnx", device="cpu")
    found = crossed.predict([("river", text) for text in TEXTS])
    ranked = pipeline("ranking", place / "ranker", device="cpu")
    scores = [ranked({"query": "river", "document": text})["score"] for text in TEXTS]
    assert np.abs(found - scores).max() <= 1e-5


def main() -> None:
    """Every head, with and without token types; then sentence-transformers."""
    for kind in CLASSES:
        for types in (0, 2):
            with tempfile.TemporaryDirectory() as place:
                same(kind, Path(place), types)
    with tempfile.TemporaryDirectory() as place:
        vectors(Path(place))
    checks = [f"{', '.join(CLASSES.values())} of an exported folder: the same outputs"]
    report("optimum-onnx", checks, takes="the exported folder")
    checks = [
        'SentenceTransformer and CrossEncoder with backend="onnx" of exported folders: the same vectors and scores'
    ]
    report("sentence-transformers", checks, takes="the exported folder")


if __name__ == "__main__":
    main()
