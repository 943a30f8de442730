"""Outputs: attribute, key, index, unpacking; absent fields; copies."""

import copy
import pickle
from collections.abc import Sequence

import pytest

from deberta_core.outputs import ModelOutput, make_output
from deberta_core.tasks import BACKBONE, TASKS, BaseModelOutput, SequenceClassifierOutput

KIND = SequenceClassifierOutput


@pytest.fixture
def output() -> SequenceClassifierOutput:
    return make_output(
        SequenceClassifierOutput, {"loss": None, "logits": [1, 2], "hidden_states": None, "attentions": (3, 4)}
    )


def test_ways_to_a_value(output):
    assert output.logits == output["logits"] == output[0] == output[-2] == [1, 2]
    assert output.attentions == output["attentions"] == output[1] == (3, 4)
    assert output[:1] == ([1, 2],)
    logits, attentions = output
    assert (logits, attentions) == ([1, 2], (3, 4))
    assert len(output) == 2
    assert output == ([1, 2], (3, 4))


def test_absent_fields(output):
    assert output.loss is None
    assert output.hidden_states is None
    assert "loss" not in output
    assert "logits" in output
    with pytest.raises(KeyError, match="'loss' is not in this SequenceClassifierOutput; it has logits, attentions"):
        output["loss"]


def test_unknown_fields(output):
    with pytest.raises(
        AttributeError, match="SequenceClassifierOutput has no field 'logit'; it has logits, attentions"
    ):
        output.logit  # noqa: B018
    with pytest.raises(KeyError, match="'logit' is not in this"):
        output["logit"]
    with pytest.raises(IndexError):
        output[2]
    assert not hasattr(output, "logit")


def test_as_a_mapping(output):
    assert list(output.keys()) == ["logits", "attentions"]
    assert list(output.values()) == [[1, 2], (3, 4)]
    assert dict(output.items()) == {"logits": [1, 2], "attentions": (3, 4)} == output._asdict()
    assert dict(**output._asdict()) == dict(output.items())
    assert output.to_tuple() == ([1, 2], (3, 4))
    assert type(output.to_tuple()) is tuple


def test_types(output):
    assert isinstance(output, SequenceClassifierOutput)
    assert isinstance(output, ModelOutput)
    assert isinstance(output, tuple)
    assert isinstance(output, Sequence)
    assert not isinstance(output, BaseModelOutput)
    assert type(output).__name__ == KIND.__name__
    assert type(output) is type(make_output(KIND, {"logits": 0, "attentions": 0}))
    assert type(output) is not type(make_output(KIND, {"logits": 0}))


def test_values_are_not_to_be_set(output):
    with pytest.raises(AttributeError):
        output.logits = 1
    with pytest.raises(AttributeError):
        output.other = 1
    with pytest.raises(TypeError):
        output[0] = 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies(output, copied):
    other = copied(output)
    assert type(other) is type(output)
    assert other == output
    assert other.logits == [1, 2]
    assert other.loss is None


def test_a_deep_copy_shares_nothing(output):
    copy.deepcopy(output).logits.append(3)
    assert output.logits == [1, 2]


def test_as_a_named_tuple(output):
    assert output._fields == ("logits", "attentions")
    assert output._replace(logits=5) == (5, (3, 4))
    assert type(output)._make([7, 8]).attentions == 8
    assert type(output)(7, 8).logits == 7
    with pytest.raises(
        TypeError, match=r"SequenceClassifierOutput of \('logits', 'attentions'\) takes 2 values, got 1"
    ):
        type(output)(7)


def test_what_is_printed(output):
    assert repr(output) == "SequenceClassifierOutput(logits=[1, 2], attentions=(3, 4))"


def test_plain_tuples_on_request():
    values = {"loss": 1, "logits": 2, "hidden_states": None}
    assert make_output(KIND, values, return_dict=False) == (1, 2)
    assert type(make_output(KIND, values, return_dict=False)) is tuple
    assert make_output(KIND, values, return_dict=None).logits == 2  # transformers' "as the config says"


def test_every_task_has_its_output():
    for spec in (BACKBONE, *TASKS.values()):
        fields = spec.output.all_fields
        assert make_output(spec.output, dict.fromkeys(fields, 1))._fields == fields
        assert spec.output.__doc__.count("`") >= 2 * len(set(fields) - {"hidden_states", "attentions"})


def test_a_generator_is_what_others_map_with():
    output = make_output(SequenceClassifierOutput, {"loss": 1, "logits": 2})
    doubled = type(output)(2 * value for value in output)
    assert doubled == (2, 4)
    assert doubled.logits == 4
    assert output[1:] == (2,)


def test_get():
    output = make_output(SequenceClassifierOutput, {"logits": 2})
    assert (output.get("logits"), output.get("loss"), output.get("loss", 5)) == (2, None, 5)
