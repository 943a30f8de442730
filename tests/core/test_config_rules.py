"""The rules of a configuration: each is named with its field and value; the label fields agree."""

import re

import pytest

from deberta_core import ConfigError, DebertaConfig, DebertaError, DebertaV2Config
from deberta_core.config_rules import ACTIVATIONS, FIELD_RULES, JOINT_RULES

COUNTS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "conv_groups", "num_labels", "embedding_size", "attention_head_size"),
)
WRONG_VALUES = [
    *((name, value) for name in COUNTS for value in (0, -3, 1.5, "8", True, float("nan"))),
    *((name, None) for name in COUNTS if name not in ("num_labels", "embedding_size", "attention_head_size")),
    *((name, value) for name in ("type_vocab_size", "pad_token_id") for value in (-1, 0.0, False)),
    ("type_vocab_size", None),
    *(("conv_kernel_size", value) for value in (-1, 2, 4, "3")),
    *((name, v) for name in ("max_relative_positions", "position_buckets") for v in ("x", 2.5, None)),
    *(
        (name, value)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout", "cls_dropout")
        for value in (-0.1, 1, 1.0, "0.1", float("nan"), True)
    ),
    *(("initializer_range", value) for value in (-0.02, float("inf"), None)),
    *(("layer_norm_eps", value) for value in (0, -1e-7, "1e-7", float("inf"))),
    *((name, value) for name in ("hidden_act", "pooler_hidden_act", "conv_act") for value in ("gleu", None, ["gelu"])),
    *(
        (name, value)
        for name in (
            *("position_biased_input", "relative_attention", "share_att_key", "talking_head", "legacy"),
            *("output_attentions", "output_hidden_states", "return_dict"),
        )
        for value in (1, "true", None)
    ),
    *(("pos_att_type", value) for value in ("p2p", "c2p|p2p", ["c2p", "c2p"], 5, ["c2p", 1], ("c2p", "none"))),
    *(("norm_rel_ebd", value) for value in ("batch_norm", None, 3)),
    *(
        ("pruned_heads", value)
        for value in ([1], "0", {"x": [1]}, {0: 1}, {0: (-1,)}, {-1: (0,)}, {0: [1.0]}, {0: "1"})
    ),
    *(("mlm_decoder", value) for value in ("emd", None, True)),
    *(("problem_type", value) for value in ("classification", 1, [])),
    *(("id2label", value) for value in ([1, 2], "a", {"x": "a"})),
    *(("label2id", value) for value in (5, ["a"], {"a": "x"})),
]


def test_every_rule_is_tried():
    assert {name for name, _ in WRONG_VALUES} == set(FIELD_RULES)


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES)
def test_a_wrong_value_is_named(name, value):
    cls = DebertaConfig if name == "talking_head" else DebertaV2Config
    with pytest.raises(ConfigError, match=rf"^{cls.__name__}: {name}=.* is not allowed: it must be ") as caught:
        cls(**{name: value})
    assert str(caught.value).count("is not allowed") == 1
    assert FIELD_RULES[name][1] in str(caught.value)
    shown = tuple(value) if name == "pos_att_type" and isinstance(value, list) and value == ["c2p", "c2p"] else value
    if name != "pos_att_type":
        assert f"{name}={shown!r}" in str(caught.value)


def test_errors_are_also_the_built_in_kind():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, DebertaError)


def test_too_many_labels_are_refused():
    with pytest.raises(
        ConfigError, match="num_labels=10000000 is not allowed: it must be an integer from 1 to 1000000"
    ):
        DebertaV2Config(num_labels=10_000_000)


JOINT = [
    (
        {"num_hidden_layers": 2, "pruned_heads": {2: [0]}},
        r"pruned_heads=\{2: \(0,\)\}, num_hidden_layers=2: pruned_heads must name layers below num_hidden_layers",
        {"pruned_heads": {1: [0]}},
    ),
    (
        {"num_attention_heads": 4, "pruned_heads": {"0": [4]}},
        r"pruned_heads=\{0: \(4,\)\}, num_attention_heads=4: pruned_heads must name heads below num_attention_heads",
        {"pruned_heads": {"0": [3]}},
    ),
    (
        {"num_attention_heads": 2, "pruned_heads": {1: [1, 0]}},
        r"pruned_heads=\{1: \(0, 1\)\}, num_attention_heads=2: pruned_heads must leave every layer at least one head",
        {"pruned_heads": {1: [1]}},
    ),
    (
        {"talking_head": True, "pruned_heads": {0: [1]}},
        r"pruned_heads=\{0: \(1,\)\}, talking_head=True: pruned_heads must be empty with talking heads",
        {"pruned_heads": {0: []}},
    ),
    (
        {"hidden_size": 770, "num_attention_heads": 12},
        "hidden_size=770, num_attention_heads=12: hidden_size must be divisible",
        {"attention_head_size": 64},
    ),
    (
        {"pad_token_id": 9, "vocab_size": 9},
        "pad_token_id=9, vocab_size=9: pad_token_id must be below",
        {"vocab_size": 10},
    ),
    (
        {"conv_kernel_size": 3, "conv_groups": 7},
        "hidden_size=1536, conv_groups=7: hidden_size must be divisible by conv_groups",
        {"conv_kernel_size": 0},
    ),
    (
        {"mlm_decoder": "enhanced"},
        "mlm_decoder='enhanced', position_biased_input=True: the enhanced decoder is where positions come in, so",
        {"position_biased_input": False},
    ),
    (
        {"mlm_decoder": "enhanced", "position_biased_input": False, "embedding_size": 128},
        "mlm_decoder='enhanced', embedding_size=128, hidden_size=1536: .* so embedding_size must be hidden_size",
        {"embedding_size": 1536},
    ),
    (
        {
            "mlm_decoder": "enhanced",
            "position_biased_input": False,
            "num_hidden_layers": 1,
            "conv_kernel_size": 3,
        },
        "mlm_decoder='enhanced', num_hidden_layers=1, conv_kernel_size=3: the enhanced decoder would leave out",
        {"conv_kernel_size": 0},
    ),
    ({"position_buckets": 7}, "position_buckets=7: position_buckets must be even", {"relative_attention": False}),
    (
        {"position_buckets": 2},
        "position_buckets=2: position_buckets must be even and at least 4",
        {"position_buckets": 4},
    ),
    (
        {"num_labels": 3, "id2label": {0: "a", 1: "b"}},
        "num_labels=3, id2label=.*: id2label must name",
        {"num_labels": 2},
    ),
    ({"id2label": {1: "a", 2: "b"}}, "id2label must name the labels 0 to num_labels - 1", {"id2label": {0: "a"}}),
]


def version_of(values):
    return DebertaConfig if "talking_head" in values else DebertaV2Config


def test_every_joint_rule_is_tried():
    found = [re.escape(mend.split(":")[0][:30]) for _, _, mend in JOINT_RULES]
    messages = []
    for values, _, _ in JOINT:
        with pytest.raises(ConfigError) as caught:
            version_of(values)(**values)
        messages.append(str(caught.value))
    assert all(any(re.search(mend, message) for message in messages) for mend in found)


@pytest.mark.parametrize(("values", "message", "mend"), JOINT)
def test_values_that_do_not_fit_together(values, message, mend):
    cls = version_of(values)
    with pytest.raises(ConfigError, match=message):
        cls(**values)
    cls(**values | mend)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        DebertaV2Config(hidden_size=0, hidden_act="gleu", pos_att_type="p2p")
    assert all(f"{name}=" in str(caught.value) for name in ("hidden_size", "hidden_act", "pos_att_type"))
    with pytest.raises(ConfigError, match=r"hidden_size must be divisible.*pad_token_id must be below"):
        DebertaV2Config(hidden_size=770, num_attention_heads=12, pad_token_id=999_999)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_known_activations_are_allowed(act):
    assert DebertaV2Config(hidden_act=act, pooler_hidden_act=act, conv_act=act).hidden_act == act


# Pruned heads


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, {}),
        ({}, {}),
        ({"1": [2, 0, 2], "0": []}, {1: (0, 2)}),
        ({3: (1,), 0: {5, 4}}, {0: (4, 5), 3: (1,)}),
    ],
)
def test_pruned_heads_are_read_and_written_as_published(given, read):
    made = DebertaV2Config.from_dict({"pruned_heads": given})
    assert made.pruned_heads == read
    assert list(made.pruned_heads) == sorted(read)
    written = made.to_dict()
    assert written.get("pruned_heads", {}) == {str(layer): list(heads) for layer, heads in read.items()}
    assert DebertaV2Config.from_dict(written) == made
    assert hash(made) == hash(made.replace())
    assert "pruned_heads" not in made.extra


def test_sizes_of_pruned_layers():
    made = DebertaV2Config(hidden_size=24, num_attention_heads=6, pruned_heads={1: [0, 4]})
    assert [made.heads_in(layer) for layer in range(3)] == [6, 4, 6]
    assert made.kept_heads(1) == (1, 2, 3, 5)
    assert [made.all_heads_size(layer) for layer in range(2)] == [24, 16]


# Labels


def test_labels_by_default():
    made = DebertaV2Config()
    assert (made.num_labels, made.id2label) == (2, {0: "LABEL_0", 1: "LABEL_1"})
    assert "id2label" not in made.to_dict()
    assert "num_labels" not in made.to_dict()


@pytest.mark.parametrize(
    ("given", "id2label"),
    [
        ({"num_labels": 3}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        ({"num_labels": 1}, {0: "LABEL_0"}),
        ({"id2label": {"0": "no", "1": "yes"}}, {0: "no", 1: "yes"}),
        ({"id2label": {1: "yes", 0: "no"}}, {0: "no", 1: "yes"}),
        ({"label2id": {"no": 0, "yes": 1}}, {0: "no", 1: "yes"}),
        ({"label2id": {"no": "0", "yes": "1"}}, {0: "no", 1: "yes"}),
        ({"id2label": {0: "same", 1: "same"}}, {0: "same", 1: "same"}),
    ],
)
def test_each_label_field_gives_the_others(given, id2label):
    made = DebertaV2Config.from_dict(given)
    assert made.id2label == id2label
    assert made.num_labels == len(id2label)
    assert made.label2id == {name: index for index, name in id2label.items()}
    assert DebertaV2Config.from_dict(made.to_dict()) == made


def test_names_of_labels_that_are_not_the_inverse_survive():
    """A file whose id2label was left at the default, and label2id was not."""
    made = DebertaV2Config(label2id={"no": 0, "yes": 1}, id2label={0: "LABEL_0", 1: "LABEL_1"})
    assert DebertaV2Config.from_dict(made.to_dict()).label2id == {"no": 0, "yes": 1}


def test_replacing_labels():
    named = DebertaV2Config(id2label={0: "no", 1: "yes"})
    assert named.replace(num_labels=5).id2label == {i: f"LABEL_{i}" for i in range(5)}
    assert named.replace(num_labels=5).num_labels == 5
    assert named.replace(num_labels=2).id2label == {0: "no", 1: "yes"}
    assert named.replace(num_labels=2, id2label={0: "a", 1: "b"}).label2id == {"a": 0, "b": 1}
    assert named.replace(id2label={0: "a"}).num_labels == 1
    assert named.replace(label2id={"x": 0, "y": 1, "z": 2}).id2label == {0: "x", 1: "y", 2: "z"}
    assert named.replace(hidden_act="relu").id2label == {0: "no", 1: "yes"}
    with pytest.raises(ConfigError, match="has no field labels, size"):
        named.replace(size=3, labels=2)
