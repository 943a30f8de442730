"""Texts, encodings and lists as the inputs of `fit`, `evaluate` and `predict`; what is said of wrong ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_tf import (
    TextPreprocessor,
    TFAutoModelForSequenceClassification,
    TFDebertaV2ForMultipleChoice,
    TFDebertaV2ForQuestionAnswering,
    TFDebertaV2ForSequenceClassification,
    TFDebertaV2ForTokenClassification,
    TFDebertaV2Model,
)


def build(cls, config, tokenizer=None, **options):
    keras.utils.set_random_seed(0)
    model = cls(config)
    model.compile(keras.optimizers.SGD(0.05))
    if tokenizer is not None:
        model.preprocessor = TextPreprocessor(tokenizer, **options)
    return model


@pytest.fixture(scope="module")
def classifier(tiny_config, small_tokenizer):
    model = build(TFDebertaV2ForSequenceClassification, tiny_config, small_tokenizer, max_length=32)
    return model, model.get_weights()


@pytest.fixture
def model(classifier):
    model, weights = classifier
    model.set_weights(weights)
    return model


def close(actual, expected):
    assert_close(np.asarray(actual), np.asarray(expected), quantity="logits", name="logits")


def test_texts_are_trained_on_as_their_encodings(model, prose, batch, labels):
    weights, curves = model.get_weights(), []
    data = tf.data.Dataset.from_tensor_slices((prose, labels)).batch(5)
    for x, y in ((batch, labels), (prose, list(labels)), (np.array(prose), labels), (data, None)):
        model.set_weights(weights)
        options = {} if x is data else {"batch_size": 5, "shuffle": False}
        held_out = {"validation_data": data if x is data else (x, y)}
        history = model.fit(x, y, epochs=2, verbose=0, **options, **held_out).history
        curves.append([*history["loss"], *history["val_loss"]])
    for curve in curves[1:]:
        close(curve, curves[0])
    assert curves[0][1] < curves[0][0]


def test_predict_and_evaluate_take_texts(model, prose, batch, labels):
    expected = np.asarray(model(batch).logits)
    close(model.predict(prose, verbose=0).logits, expected)
    close(model.predict(tf.constant(prose), verbose=0).logits, expected)
    close(model.predict(tf.data.Dataset.from_tensor_slices(prose).batch(4), verbose=0).logits, expected)
    close(model.predict_on_batch(prose).logits, expected)
    loss = model.evaluate(batch, labels, verbose=0)
    close(model.evaluate(prose, labels, verbose=0), loss)
    close(model.test_on_batch(prose, labels), loss)
    close(model.train_on_batch(prose, labels), loss)


def test_pairs(model, prose, small_tokenizer):
    inputs = small_tokenizer(prose, prose[::-1], padding=True, truncation=True, max_length=32, return_tensors="np")
    expected = np.asarray(model(dict(inputs)).logits)
    close(model.predict((prose, prose[::-1]), verbose=0).logits, expected)
    close(model.predict(list(zip(prose, prose[::-1], strict=True)), verbose=0).logits, expected)
    both = tf.data.Dataset.from_tensor_slices(((prose, prose[::-1]), np.zeros(len(prose)))).batch(4)
    close(model.predict(both, verbose=0).logits, expected)


@pytest.mark.parametrize("kind", [None, "np", "tf", "pt"])
def test_an_encoding_as_it_is(model, prose, batch, labels, small_tokenizer, kind):
    if kind == "pt":
        pytest.importorskip("torch")
    encoding = small_tokenizer(prose, padding=True, truncation=True, max_length=32, return_tensors=kind)
    close(model.predict(encoding, verbose=0).logits, model(batch).logits)
    close(model.evaluate(encoding, labels, verbose=0), model.evaluate(batch, labels, verbose=0))
    model.fit(encoding, labels, verbose=0)


def test_a_folder_with_a_tokenizer_has_a_preprocessor(model, prose, small_tokenizer, tmp_path):
    expected = model(dict(small_tokenizer(prose, padding=True, truncation=True, max_length=512, return_tensors="np")))
    small_tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    loaded = TFAutoModelForSequenceClassification.from_pretrained(tmp_path)
    close(loaded.predict(prose, verbose=0).logits, expected.logits)
    loaded.save_pretrained(tmp_path / "again")  # with its tokenizer
    again = TFAutoModelForSequenceClassification.from_pretrained(tmp_path / "again")
    close(again.predict(prose, verbose=0).logits, expected.logits)
    other = TFDebertaV2ForSequenceClassification(model.config)
    other.preprocessor = small_tokenizer  # a tokenizer is enough
    assert other.preprocessor.max_length == min(small_tokenizer.model_max_length, 512)


def test_words_and_their_labels(tiny_config, small_tokenizer, prose):
    model = build(
        TFDebertaV2ForTokenClassification, tiny_config, small_tokenizer, sequence_length=40, padding="max_length"
    )
    words = [text.split() for text in prose]
    targets = [[number % 3 for number, _ in enumerate(row)] for row in words]
    encoding = small_tokenizer(words, is_split_into_words=True, padding="max_length", truncation=True, max_length=40)
    expected = np.full((len(words), 40), -100)
    for row, known in enumerate(targets):
        seen = set()
        for token, word in enumerate(encoding.word_ids(row)):
            if word is not None and word not in seen:
                seen.add(word)
                expected[row, token] = known[word]
    close(model.evaluate(words, targets, verbose=0), model.evaluate(encoding, expected, verbose=0))
    assert model.predict(prose, verbose=0).logits.shape == (len(prose), 40, 3)
    model.fit(words, targets, verbose=0)


def test_questions_and_choices(tiny_config, small_tokenizer, prose):
    spans = build(TFDebertaV2ForQuestionAnswering, tiny_config, small_tokenizer, max_length=128)
    assert np.isfinite(spans.fit((prose, prose[::-1]), ([1] * len(prose), [2] * len(prose)), verbose=0).history["loss"])
    found = spans.predict((prose, prose[::-1]), verbose=0)
    assert found.start_logits.shape == found.end_logits.shape == (len(prose), found.start_logits.shape[1])
    chooser = build(TFDebertaV2ForMultipleChoice, tiny_config, small_tokenizer)
    choices = [[text, prose[0]] for text in prose]
    chooser.fit((prose, choices), [0] * len(prose), verbose=0)
    first, second = [text for text in prose for _ in range(2)], [text for row in choices for text in row]
    longest = chooser.preprocessor.max_length
    inputs = small_tokenizer(first, second, padding=True, truncation=True, max_length=longest)
    folded = {name: np.reshape(values, (len(prose), 2, -1)) for name, values in inputs.items()}
    close(chooser.predict((prose, choices), verbose=0).logits, chooser(folded).logits)


def test_a_backbone_predicts_of_texts(tiny_config, small_tokenizer, prose, batch):
    model = TFDebertaV2Model(tiny_config)
    model.preprocessor = TextPreprocessor(small_tokenizer, max_length=32)
    close(model.predict(prose, verbose=0).last_hidden_state, model(batch).last_hidden_state)


def test_a_preprocessor_by_itself(small_tokenizer, prose, labels, batch):
    preprocessor = TextPreprocessor(small_tokenizer, sequence_length=32)
    for name, values in batch.items():
        np.testing.assert_array_equal(preprocessor(prose)[name], values)
    assert preprocessor(prose, labels)[1] is labels
    assert len(preprocessor(prose, labels, labels)) == 3
    with pytest.raises(InputError, match=r"'truncate' is not taken\. Texts are cut from the end"):
        TextPreprocessor(small_tokenizer, truncate="round_robin")
    with pytest.raises(InputError, match=r"option 'max_len' is unknown\. Did you mean 'max_length'"):
        TextPreprocessor(small_tokenizer, max_len=3)
    with pytest.raises(InputError, match="a str is no tokenizer"):
        TextPreprocessor("my-model")


WRONG = {
    "one text": (lambda texts, y: (texts[0], y), "x is one text. Give a list of texts"),
    "text labels": (lambda texts, y: (texts, ["good"] * len(y)), "the labels are texts. Give numbers"),
    "a class out of range": (
        lambda texts, y: (texts, y + 7),
        r"labels holds 7: a class must be an integer in \[0, 3\)",
    ),
    "too few labels": (lambda texts, y: (texts, y[:3]), r"labels has shape \(3,\)"),
    "a table": (lambda texts, y: ({"text": texts}, y), "the inputs hold text, which the model does not take"),
    "texts by name": (lambda texts, y: ({"input_ids": texts}, y), "input_ids holds texts. Tokenize them"),
    "no rows": (lambda texts, y: ({"input_ids": [[1, 2], [1]]}, y), "rows of different lengths. Pad them"),
    "no batches": (lambda texts, y: (tf.data.Dataset.from_tensor_slices((texts, y)), None), "Make batches of them"),
    "text labels of a dataset": (
        lambda texts, y: (tf.data.Dataset.from_tensor_slices((texts, texts)).batch(2), None),
        "the labels are texts",
    ),
    "three texts": (lambda texts, y: ((texts, texts, texts), y), "a tuple of 3 lists of texts"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_is_refused_before_anything_is_traced(tiny_config, small_tokenizer, prose, labels, case):
    make, message = WRONG[case]
    model = build(TFDebertaV2ForSequenceClassification, tiny_config, small_tokenizer)
    x, y = make(prose, labels)
    for call in (model.fit, model.evaluate):
        with pytest.raises(InputError, match=message):
            call(x, y, verbose=0)


def test_texts_without_a_preprocessor(tiny_config, prose, labels):
    model = build(TFDebertaV2ForSequenceClassification, tiny_config)
    for call in (lambda: model.fit(prose, labels), lambda: model.predict(np.array(prose))):
        with pytest.raises(InputError, match=r"the model has no preprocessor\. Set model.preprocessor = tokenizer"):
            call()
    with pytest.raises(InputError, match=r"which a call does not tokenize\. Call model.predict"):
        model(prose)


def test_another_loss_may_take_other_labels(tiny_config, small_tokenizer, prose, labels):
    model = build(TFDebertaV2ForSequenceClassification, tiny_config, small_tokenizer)
    model.compile("sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.evaluate(prose, np.eye(3)[labels], verbose=0))


def test_small_names(tiny_config, batch, labels):
    model = TFDebertaV2ForSequenceClassification.from_config(tiny_config)
    assert model.config is tiny_config
    output = model({**batch, "output_attentions": True, "output_hidden_states": True})
    assert output.keys() == ("logits", "hidden_states", "attentions")
    assert isinstance(model({**batch, "return_dict": False}), tuple)
    lines = []
    TFDebertaV2ForSequenceClassification(tiny_config).summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "?" not in text
    assert f"(None, None, {tiny_config.hidden_size})" in text
    assert f"Total params: {model.num_parameters():,}" in text
