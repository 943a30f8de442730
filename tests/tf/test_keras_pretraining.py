"""The enhanced decoder, replaced-token detection, and both of pretraining: training, drawing, saving, loading."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_core import DebertaWarning, InputError, WeightError, reference
from deberta_core.checkpoint import pairs
from deberta_core.checkpoint.formats import GENERATOR_FILES, open_weights
from deberta_core.errors import ConfigError
from deberta_core.parameters import DELTA_NAMES
from deberta_tf.weights import merged_arrays, parameter_variables

WORDS, POSITIONS = DELTA_NAMES
SPECIAL = range(5)


@pytest.fixture(scope="session")
def decoded(tiny_config):
    """Two layers and an enhanced decoder, dropout off."""
    return tiny_config.replace(num_hidden_layers=2, legacy=False, mlm_decoder="enhanced")


@pytest.fixture(scope="session")
def judge_config(tiny_config):
    """A discriminator of three layers, whose generator has two."""
    return tiny_config.replace(num_hidden_layers=3)


@pytest.fixture(scope="session")
def masked(batch, small_tokenizer):
    """The batch with every fifth token masked, and its labels."""
    is_masked = (np.arange(batch["input_ids"].shape[1]) % 5 == 2) & (batch["attention_mask"] == 1)
    ids = np.where(is_masked, small_tokenizer.mask_token_id, batch["input_ids"])
    return {**batch, "input_ids": ids}, np.where(is_masked, batch["input_ids"], -100)


def make_pair(config, generator_config=None, **options):
    keras.utils.set_random_seed(0)
    given = generator_config or pairs.generator_config_of(config)
    return deberta_tf.TFDebertaV2ForPreTraining(given, config, **options)


def same_parameters(one, other):
    for (name, value), wanted in zip(merged_arrays(one).items(), merged_arrays(other).values(), strict=True):
        np.testing.assert_array_equal(value, wanted, err_msg=name)


# The enhanced decoder


@pytest.mark.parametrize("format", ["safetensors", "bin", "h5", "keras", "keras-archive"])
def test_a_decoder_is_saved_and_loaded(decoded, masked, tmp_path, format):
    model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
    model.save_pretrained(tmp_path, format=format)
    again = deberta_tf.TFAutoModelForMaskedLM.from_pretrained(tmp_path)
    assert again.config.enhances_decoder
    same_parameters(again, model)


def test_keras_files_and_configurations_keep_the_decoder(decoded, masked, tmp_path):
    model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
    inputs, _ = masked
    expected = np.asarray(model(inputs).logits)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = type(model).from_config(model.get_config())
    fresh.load_weights(tmp_path / "model.weights.h5")
    for again in (keras.models.load_model(tmp_path / "model.keras"), fresh):
        np.testing.assert_array_equal(np.asarray(again(inputs).logits), expected)


def test_backbones_and_other_heads_have_no_table_of_positions(decoded, tmp_path):
    model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
    assert POSITIONS in parameter_variables(model)
    for other in (deberta_tf.TFDebertaV2Model, deberta_tf.TFDebertaV2ForReplacedTokenDetection):
        assert not any("position_embeddings" in variable.path for variable in other(decoded).weights)
    model.save_pretrained(tmp_path)
    deberta_tf.TFDebertaV2Model.from_pretrained(tmp_path)  # which leaves the table


def test_a_text_beyond_the_table_is_refused(decoded):
    model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
    long = np.ones((1, decoded.max_position_embeddings + 1), int)
    with pytest.raises(InputError, match="max_position_embeddings=64"):
        model(long)
    assert model.deberta(long).last_hidden_state.shape[1] == long.shape[1]


def test_labelled_tokens_alone_are_trained_and_scored_alike(decoded, masked):
    inputs, labels = masked
    weights = np.linspace(0.5, 2, len(labels)).astype(np.float32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    runs = {}
    for name, options in {
        "all": {},
        "labelled": {"labelled_logits_only": True},
        "labelled, with a metric": {"labelled_logits_only": True, "loss": loss, "metrics": ["accuracy"]},
    }.items():
        keras.utils.set_random_seed(0)
        model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
        model.compile(keras.optimizers.SGD(0.1), **options)
        history = model.fit(inputs, labels, sample_weight=weights, batch_size=8, epochs=2, shuffle=False, verbose=0)
        runs[name] = np.array([*history.history["loss"], np.ravel(model.evaluate(inputs, labels, verbose=0))[0]])
    assert_close(runs["labelled"], runs["all"], quantity="loss", name="labelled")
    assert runs["labelled, with a metric"][1] < runs["labelled, with a metric"][0]


def test_labelled_logits_need_labels_of_words(decoded, batch):
    with pytest.raises(InputError, match="labelled_logits_only=True without labels"):
        deberta_tf.TFDebertaV2ForMaskedLM(decoded)(batch, labelled_logits_only=True)
    with pytest.raises(InputError, match="labelled_logits_only"):
        deberta_tf.TFDebertaV2ForReplacedTokenDetection(decoded)(batch, labelled_logits_only=True)


def trained_a_step(model, inputs, labels):
    """So that its weights are none that it was made with; a graph of one step would take several times as long."""
    model.compile(keras.optimizers.SGD(0.2), run_eagerly=True)
    model.train_on_batch(inputs, labels)


# Replaced-token detection


def test_a_discriminator_learns(judge_config, batch):
    keras.utils.set_random_seed(0)
    model = deberta_tf.TFDebertaV2ForReplacedTokenDetection(judge_config)
    labels = np.where(batch["attention_mask"] == 1, batch["input_ids"] % 3 == 0, -100).astype(int)
    model.compile(keras.optimizers.SGD(0.5))
    losses = model.fit(batch, labels, batch_size=15, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(batch, verbose=0).logits.shape == labels.shape


def test_packed_documents_read_their_own_context(judge_config, batch):
    """Two texts in a row under a 3-D mask: as each alone."""
    model = deberta_tf.TFDebertaV2ForReplacedTokenDetection(judge_config)
    ids = batch["input_ids"][:2, :9]
    alone = np.asarray(model(ids).logits)
    blocks = np.kron(np.eye(2, dtype=int), np.ones((9, 9), int))[None]
    packed = np.asarray(model(ids.reshape(1, -1), attention_mask=blocks).logits)
    assert_close(packed.reshape(alone.shape), alone, quantity="logits", name="packed")


# Both


def test_both_learn_together(judge_config, masked):
    inputs, labels = masked
    runs = {}
    for name, data in {"outside": (inputs, labels), "inside": ({**inputs, "labels": labels},)}.items():
        model = make_pair(judge_config, rtd_lambda=2.0, seed=3)
        model.compile(keras.optimizers.SGD(0.2))
        history = model.fit(*data, batch_size=15, epochs=4, shuffle=False, verbose=0).history
        assert set(history) == {"loss", "mlm_loss", "rtd_loss"}
        runs[name] = np.array([history[key] for key in sorted(history)])
    np.testing.assert_array_equal(runs["inside"], runs["outside"])
    assert (runs["outside"][:, -1] < runs["outside"][:, 0]).all()
    total, mlm, rtd = model.evaluate(inputs, labels, batch_size=len(labels), return_dict=False, verbose=0)
    assert_close(np.array(total), np.array(mlm + 2.0 * rtd), quantity="loss", name="sum")
    assert model.predict(inputs, verbose=0).logits.shape == labels.shape


@pytest.mark.parametrize("data", [(None, None), (1, np.ones(15))])
def test_training_needs_labels_and_no_weights(judge_config, masked, data):
    inputs, labels = masked
    model = make_pair(judge_config)
    model.compile(keras.optimizers.SGD(0.2), run_eagerly=True)
    y, weights = data
    with pytest.raises(InputError, match="Give masked ids"):
        model.fit(inputs, None if y is None else labels, sample_weight=weights, batch_size=15, verbose=0)


def test_the_padding_row_of_the_difference_is_not_trained(judge_config, masked):
    inputs, labels = masked
    model = make_pair(judge_config)
    inputs = {name: values.copy() for name, values in inputs.items()}
    inputs["input_ids"][:, -1] = judge_config.pad_token_id  # which is a token like others where it is not masked
    labels = np.where(np.arange(labels.shape[1]) == labels.shape[1] - 1, -100, labels)
    table = model.discriminator.deberta.embeddings.word_embeddings.embeddings.value
    with tf.GradientTape() as tape:
        loss = model({**inputs, "labels": labels}).loss
    gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    assert gradient.any()
    assert not gradient[judge_config.pad_token_id].any()


def test_draws_follow_the_seed_and_are_never_special(judge_config, masked):
    inputs, labels = masked
    drawn = []
    for seed in (1, 1, 2):
        model = make_pair(judge_config, seed=seed, special_ids=tuple(SPECIAL))
        made = [model.corrupt(inputs["input_ids"], labels=labels).corrupted_ids for _ in range(3)]
        drawn.append(np.stack([np.asarray(ids) for ids in made]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert (drawn[0][0] != drawn[0][1]).any()
    assert not np.isin(drawn[0][:, labels >= 0], SPECIAL).any()
    assert (drawn[0] == inputs["input_ids"])[:, labels < 0].all()


def test_draws_have_the_generators_distribution(judge_config):
    shares = np.array([0.5, 0.25, 0.125, 0.125])
    logits = np.full((20_000, judge_config.vocab_size), -50, np.float32)
    logits[:, 5:9] = np.log(shares)
    labels = np.ones((200, 100), int)
    for temperature, expected in ((1.0, [4, 2, 1]), (0.5, [16, 4, 1])):
        model = make_pair(judge_config, special_ids=[8], temperature=temperature, seed=0)
        ids = np.asarray(model._drawn(labels, logits))
        found = np.bincount(ids.ravel(), minlength=9)[5:] / ids.size
        assert found[3:].sum() == 0
        assert np.abs(found[:3] - np.array(expected) / sum(expected)).max() < 0.015


@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
def test_keras_files_keep_both(judge_config, masked, tmp_path, sharing):
    inputs, labels = masked
    model = make_pair(judge_config, embedding_sharing=sharing, special_ids=tuple(SPECIAL), rtd_lambda=3.0)
    trained_a_step(model, inputs, labels)
    fixed = {**inputs, "labels": labels, "corrupted_ids": inputs["input_ids"]}
    expected = np.asarray(model(fixed).loss)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = type(model).from_config(model.get_config())
    fresh.load_weights(tmp_path / "model.weights.h5")
    for again in (keras.models.load_model(tmp_path / "model.keras"), fresh):
        assert (again.embedding_sharing, again.special_ids) == (sharing, tuple(SPECIAL))
        np.testing.assert_array_equal(np.asarray(again(fixed).loss), expected)


@pytest.mark.parametrize("format", ["safetensors", "bin"])
@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
def test_a_pair_is_saved_and_loaded(judge_config, masked, tmp_path, sharing, format):
    """The discriminator's file is an ordinary model, which computes what it did beside its generator."""
    inputs, labels = masked
    model = make_pair(judge_config, embedding_sharing=sharing)
    trained_a_step(model, inputs, labels)
    model.save_pretrained(tmp_path, format=format)
    assert DELTA_NAMES[WORDS] not in open_weights(tmp_path, judge_config)
    again = type(model).from_pretrained(tmp_path, embedding_sharing=sharing)
    same_parameters(again.generator, model.generator)
    expected = np.asarray(model.discriminator(inputs).logits)
    for judge in (again.discriminator, type(model.discriminator).from_pretrained(tmp_path)):
        assert_close(np.asarray(judge(inputs).logits), expected, quantity="logits", name="folded")
    alone = type(model.generator).from_pretrained(tmp_path / GENERATOR_FILES[format == "bin"])
    same_parameters(alone, model.generator)


def test_the_difference_is_written_on_request(judge_config, masked, tmp_path):
    inputs, labels = masked
    model = make_pair(judge_config)
    trained_a_step(model, inputs, labels)
    model.unread_positions.assign(np.full(model.unread_positions.shape, 0.25, np.float32))
    model.save_pretrained(tmp_path, keep_delta=True)
    again = type(model).from_pretrained(tmp_path)
    same_parameters(again.discriminator, model.discriminator)
    np.testing.assert_array_equal(again.unread_positions, model.unread_positions)
    with open_weights(tmp_path, judge_config) as stored:
        table = merged_arrays(model.generator)[POSITIONS] + np.float32(0.25)
        np.testing.assert_array_equal(stored[POSITIONS], table)
    with pytest.raises(WeightError, match="format"):
        model.save_pretrained(tmp_path, format="h5")


def test_a_generator_is_made_of_a_discriminator_alone(judge_config, masked, tmp_path):
    judge = deberta_tf.TFDebertaV2ForReplacedTokenDetection(judge_config)
    judge.save_pretrained(tmp_path)
    with pytest.raises(WeightError, match="generator=None"):
        deberta_tf.TFDebertaV2ForPreTraining.from_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match="has no generator, so one was made"):
        model = deberta_tf.TFDebertaV2ForPreTraining.from_pretrained(tmp_path, generator=None)
    assert model.generator.config.num_hidden_layers == 2
    made, own = merged_arrays(model.generator), merged_arrays(judge)
    name = "deberta.encoder.layer.{}.attention.self.query_proj.weight"
    for layer in range(2):
        np.testing.assert_array_equal(made[name.format(layer)], own[name.format(2 * layer)])
    np.testing.assert_array_equal(made[WORDS], own[WORDS])
    inputs, _ = masked
    assert_close(
        np.asarray(model(inputs).logits), np.asarray(judge(inputs).logits), quantity="logits", name="discriminator"
    )


def test_tables_of_other_sizes_are_refused(judge_config):
    other = pairs.generator_config_of(judge_config).replace(max_position_embeddings=32)
    with pytest.raises(ConfigError, match="max_position_embeddings=32 and the discriminator 64"):
        make_pair(judge_config, generator_config=other)
    with pytest.raises(ConfigError, match="embedding_sharing"):
        make_pair(judge_config, embedding_sharing="both")
    make_pair(judge_config, generator_config=other, embedding_sharing="none")


@pytest.mark.parametrize("jit_compile", [None, True])
def test_masks_are_filled_through_the_decoder(decoded, small_tokenizer, prose, tmp_path, jit_compile):
    from deberta_dual import pipeline
    from deberta_dual.backends.tf import EAGER_BATCHES

    model = deberta_tf.TFDebertaV2ForMaskedLM(decoded)
    if jit_compile:
        model.compile(jit_compile=True)
    mask = small_tokenizer.mask_token
    texts = [f"{mask} {text.replace(' the ', f' {mask} ', 1)}" for text in prose[: EAGER_BATCHES + 2]]
    fill = pipeline("fill-mask", model, small_tokenizer, framework="tf")
    params = dict(merged_arrays(model))
    for text, found in zip(texts, fill(texts, batch_size=1, top_k=3), strict=True):
        inputs = dict(small_tokenizer([text], return_tensors="np"))
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        logits = reference.forward(decoded, params, inputs, "masked_lm")["logits"][0]
        places = np.flatnonzero(inputs["input_ids"][0] == small_tokenizer.mask_token_id)
        for place, answers in zip(places, found if len(places) > 1 else [found], strict=True):
            scores = np.exp(logits[place] - logits[place].max())
            scores /= scores.sum()
            wanted = np.array([scores[answer["token"]] for answer in answers])
            assert_close(np.array([one["score"] for one in answers]), wanted, quantity="pipeline", name=text)
            assert answers[0]["token"] == scores.argmax()
