"""scikit-learn: `cross_val_score` and `GridSearchCV` over the class of docs/clients.md, around a Keras model."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from sklearn.model_selection import GridSearchCV, cross_val_score

from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_tf import DebertaV2Config, TextPreprocessor, TFDebertaV2ForSequenceClassification
from tools.clients.report import report

ENVIRONMENTS = ("keras",)
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
WORDS = {"praise": ("good", "fine", "lovely", "warm"), "blame": ("bad", "dull", "weak", "cold")}
ROWS = [(f"a {one} film", name) for name, words in WORDS.items() for one in words] * 3
TEXTS, LABELS = map(list, zip(*ROWS, strict=True))
TOKENIZER = DebertaV2Tokenizer.train(TEXTS, vocab_size=320, hard_vocab_limit=False)
BUILT: list[Any] = []


def wrapper() -> Any:
    """The class, from the page."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code, "docs/clients.md shows no class"
    place: dict[str, Any] = {}
    exec(code[1], place)
    return place["Classifier"]


def build(classes: int) -> Any:
    """A small classifier of texts, compiled; the same weights every time."""
    keras.utils.set_random_seed(0)
    config = DebertaV2Config.preset(
        "deberta-v3-xsmall",
        vocab_size=len(TOKENIZER),
        num_hidden_layers=1,
        hidden_size=48,
        intermediate_size=40,
        num_labels=classes,
    )
    model = TFDebertaV2ForSequenceClassification(config)
    model.preprocessor = TextPreprocessor(TOKENIZER, max_length=16)
    model.compile(keras.optimizers.Adam(1e-2))
    BUILT.append(model)
    return model


def main() -> None:
    """Every fold has a model of its own, learns, and answers with the labels' own names."""
    kind = wrapper()
    scores = cross_val_score(kind(build, epochs=8), TEXTS, LABELS, cv=3)
    assert len(scores) == len(BUILT) == 3
    assert scores.min() > 0.8, scores
    search = GridSearchCV(kind(build), {"epochs": [0, 8]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_ == {"epochs": 8}
    assert set(search.predict(TEXTS)) == set(WORDS)
    report("scikit-learn", ["cross_val_score and GridSearchCV over the class above"], takes="a class around the model")


if __name__ == "__main__":
    main()
