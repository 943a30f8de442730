"""Names under which older programs saved the same parameters."""

import numpy as np
import pytest
import safetensors.numpy

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import LoadReport, load_weights, save_weights
from deberta_core.errors import DebertaWarning, WeightError
from deberta_core.limits import raised
from deberta_core.parameters import expand

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
V1 = DebertaConfig(**SIZES, relative_attention=True, pos_att_type="c2p|p2c")
V2 = DebertaV2Config(**SIZES, relative_attention=True, pos_att_type="c2p|p2c")
NORM = "deberta.encoder.layer.0.output.LayerNorm"


def store(folder, weights):
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return folder


def renamed(weights, *pairs):
    for old, new in pairs:
        weights = {name.replace(old, new): array for name, array in weights.items()}
    return weights


@pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    "pairs",
    [
        [("deberta.", "bert.")],
        [("deberta.", "module.deberta."), ("pooler.", "module.pooler."), ("classifier.", "module.classifier.")],
        [("deberta.", "module.bert."), ("pooler.", "module.pooler."), ("classifier.", "module.classifier.")],
        [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")],
    ],
    ids=["bert", "data parallel", "both", "gamma and beta"],
)
def test_old_names(tmp_path, random_weights, config, pairs):
    weights = random_weights(config, "sequence_classification")
    folder = store(tmp_path, renamed(weights, *pairs))
    with load_weights(folder, config, "sequence_classification") as loaded:
        assert loaded.report == LoadReport(prefix="module." if "module." in str(pairs) else "")
        for name, array in weights.items():
            assert np.array_equal(loaded.weights[name], array), name


def test_microsofts_pretraining_checkpoint(tmp_path, random_weights):
    """The published v2 and v3 files: a masked-LM head, a head of replaced tokens, and unused positions."""
    config = V2.replace(legacy=False, position_biased_input=False)
    weights = random_weights(config, "masked_lm")
    extra = {
        "mask_predictions.dense.weight": np.zeros((8, 8), "f4"),
        "mask_predictions.LayerNorm.weight": np.zeros(8, "f4"),
        "mask_predictions.classifier.weight": np.zeros((1, 8), "f4"),
        "deberta.embeddings.position_embeddings.weight": np.zeros((512, 8), "f4"),
    }
    with pytest.warns(DebertaWarning, match="is a discriminator"):
        loaded = load_weights(store(tmp_path, weights | extra), config, "masked_lm")
    assert loaded.report == LoadReport(dropped=tuple(sorted(extra)))


def test_both_spellings_must_be_equal(tmp_path, random_weights):
    weights = random_weights(V2, "token_classification")
    twice = weights | {f"{NORM}.gamma": weights[f"{NORM}.weight"].copy()}
    with load_weights(store(tmp_path, twice), V2, "token_classification") as loaded:
        assert loaded.report == LoadReport(tied=(f"{NORM}.gamma",))
    twice[f"{NORM}.gamma"] = twice[f"{NORM}.gamma"] + 1
    with (
        load_weights(store(tmp_path, twice), V2, "token_classification") as loaded,
        pytest.raises(WeightError, match=r"LayerNorm\.weight and .*LayerNorm\.gamma, which are one parameter"),
    ):
        loaded.weights[f"{NORM}.weight"]


def test_both_prefixes_are_not_mixed(tmp_path, random_weights):
    weights = random_weights(V2, "token_classification")
    name = f"{NORM}.weight"
    with pytest.raises(WeightError, match=rf"unexpected \(1\): {name.replace('deberta', 'bert')}"):
        load_weights(
            store(tmp_path, weights | {name.replace("deberta", "bert"): weights[name]}), V2, "token_classification"
        )


@pytest.mark.parametrize("prefix", ["deberta.", "bert.", "module.deberta."])
def test_attention_of_v1_is_refused_not_split(tmp_path, random_weights, prefix):
    """Microsoft's v2 code splits in_proj and invents a key bias; what comes out is another model."""
    folder = store(tmp_path, renamed(random_weights(V1, "token_classification"), ("deberta.", prefix)))
    with pytest.raises(WeightError, match=r"Found in_proj\.weight: this is a v1 checkpoint, use the Deberta classes"):
        load_weights(folder, V2, None)


def test_aliases_are_no_names_of_other_parameters():
    for config in (V1, V2, V2.replace(legacy=False)):
        table = expand(config, "masked_lm")
        aliases = [alias for parameter in table.values() for alias in parameter.aliases]
        assert len(set(aliases)) == len(aliases)
        assert not set(aliases) & {parameter.canonical for parameter in table.values()}


@pytest.mark.parametrize("format", ["safetensors", "h5", "keras", "bin"])
def test_absurd_sizes_take_no_memory(tmp_path, random_weights, format):
    save_weights(tmp_path, V2, None, random_weights(V2, None), format)
    message = r"word_embeddings\.weight \(file \(20, 8\), model \(1000000000000000, 8\)\)"
    with raised(vocabulary=10**15), pytest.raises(WeightError, match=message):
        load_weights(tmp_path, V2.replace(vocab_size=10**15), None)
