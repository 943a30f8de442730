"""What can be had without a model: the most frequent class, and bags of words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deberta_dual.data.records import Record
from deberta_dual.evaluation.answers import answer_scores
from deberta_dual.evaluation.classes import Metrics, classification_scores
from deberta_dual.evaluation.entities import entity_scores
from deberta_dual.evaluation.numbers import ranking_scores
from deberta_dual.evaluation.vectors import retrieval_scores
from deberta_dual.finetuning.tasks import ranking, sentence_embeddings
from deberta_dual.pipelines.scores import perplexity
from tools.task_scores.vocabulary import train_vocabulary

_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_WORD = re.compile(r"\w+")

Baseline = Callable[[Sequence[Record], Sequence[Record]], dict[str, Metrics]]


def of_texts(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """The most frequent class; and a logistic regression on words and pairs of words."""
    train_labels, labels = ([str(record.values["label"]) for record in part] for part in (training, test))
    frequent = Counter(train_labels).most_common(1)[0][0]
    texts = [[_side_by_side(record) for record in part] for part in (training, test)]
    return {
        "most frequent class": _judged([frequent] * len(labels), labels),
        "bag of words": _judged(_regression(texts[0], train_labels, texts[1]), labels),
    }


def of_words(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """Every word's most frequent label in the training data."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in training:
        for word, label in zip(record.values["words"], record.values["labels"], strict=True):
            counts[word.lower()][label] += 1
    known = {word: own.most_common(1)[0][0] for word, own in counts.items()}
    found = [[known.get(word.lower(), "O") for word in record.values["words"]] for record in test]
    return {"list of words": entity_scores(found, [record.values["labels"] for record in test])}


def of_questions(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """The sentence of the context that shares most words with the question."""
    found = []
    for record in test:
        asked = set(_WORD.findall(record.values["question"].lower()))
        sentences = _SENTENCE.findall(record.values["context"])
        found.append(max(sentences, key=lambda text: len(asked & set(_WORD.findall(text.lower())))).strip())
    truths = [[answer["text"] for answer in record.values["answers"]] for record in test]
    return {"sentence with most of the question's words": answer_scores(found, truths)}


def of_choices(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """The more frequent place; and a logistic regression that tells right choices from wrong ones by their words."""
    labels = [int(record.values["label"]) for record in test]
    frequent = Counter(int(record.values["label"]) for record in training).most_common(1)[0][0]
    pairs = [
        (f"{record.values['text']} {choice}", str(number == int(record.values["label"])))
        for record in training
        for number, choice in enumerate(record.values["choices"])
    ]
    asked = [f"{record.values['text']} {choice}" for record in test for choice in record.values["choices"]]
    texts, truths = zip(*pairs, strict=True)
    right = _probabilities(texts, truths, asked)[:, 1].reshape(len(test), -1)
    return {
        "most frequent place": _judged([frequent] * len(labels), labels),
        "bag of words": _judged(right.argmax(axis=1).tolist(), labels),
    }


def of_pairs(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """The nearest by cosines of weighted words."""
    texts = [sentence_embeddings.texts_of(record) for record in test]
    words = _words().fit([text for record in training for text in sentence_embeddings.texts_of(record)])
    vectors = np.stack([words.transform(side).toarray() for side in zip(*texts, strict=True)], axis=1)
    return {"TF-IDF": retrieval_scores(vectors, texts)}


def of_queries(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """The documents as they stand; and by the cosines of weighted words."""
    words = _words().fit([record.values[name] for record in training for name in ("query", "document")])
    queries, documents = (words.transform([record.values[name] for record in test]) for name in ("query", "document"))
    cosines = np.asarray(queries.multiply(documents).sum(axis=1))[:, 0]
    wanted, places = ranking.wanted_relevances(test), list(ranking.queries_of(test))
    relevances = [wanted[own] for own in places]
    found = {"as they stand": -np.arange(len(test)), "TF-IDF": cosines}
    return {name: ranking_scores([scores[own] for own in places], relevances) for name, scores in found.items()}


def of_masks(training: Sequence[Record], test: Sequence[Record]) -> dict[str, Metrics]:
    """How often each token is in the training data, of tokens that are not there as if once; for every test token."""
    texts = [[record.values["text"] for record in part] for part in (training, test)]
    tokenizer = train_vocabulary(texts[0])
    counts = np.ones(len(tokenizer))
    ids, asked = (np.concatenate(tokenizer(own, add_special_tokens=False, verbose=False)["input_ids"]) for own in texts)
    np.add.at(counts, ids, 1)
    asked = asked[~np.isin(asked, tokenizer.all_special_ids)]
    loss = float(-np.log(counts[asked] / counts.sum()).mean())
    return {"frequencies of tokens": {"loss": loss, "perplexity": perplexity(loss)}}


# By task.
BASELINES: dict[str, Baseline] = {
    "text-classification": of_texts,
    "token-classification": of_words,
    "question-answering": of_questions,
    "multiple-choice": of_choices,
    "sentence-embeddings": of_pairs,
    "ranking": of_queries,
    "masked-lm": of_masks,
}


def _side_by_side(record: Record) -> str:
    """A text; of a pair, the words of the second that the first has not, told apart, too."""
    text, pair = record.values["text"], record.values.get("text_pair")
    if pair is None:
        return str(text)
    own = set(_WORD.findall(text.lower()))
    new = " ".join(f"new_{word}" for word in _WORD.findall(pair.lower()) if word not in own)
    lost = " ".join(f"lost_{word}" for word in sorted(own - set(_WORD.findall(pair.lower()))))
    return f"{text} {pair} {new} {lost}"


def _regression(texts: Sequence[str], labels: Sequence[str], asked: Sequence[str]) -> list[str]:
    classes = sorted(set(labels))
    return [classes[row.argmax()] for row in _probabilities(texts, labels, asked)]


def _probabilities(texts: Sequence[str], labels: Sequence[str], asked: Sequence[str]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_words(), LogisticRegression(C=10, max_iter=1000)).fit(texts, labels).predict_proba(asked)


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")


def _judged(found: Sequence[Any], wanted: Sequence[Any]) -> Metrics:
    return classification_scores(np.array(found), np.array(wanted))
