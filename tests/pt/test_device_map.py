"""`device` and `device_map`: one device, parts on several, and the meta device.

Numbers are compared on the CPU alone, where `accelerate` does all it does but move. Devices are compared on simulated
accelerators, whose tensors have no numbers, but refuse to meet.
"""

import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import deberta_torch
from conformance.suite.cases import CASES
from deberta_core import DebertaConfig, InputError
from deberta_core.checkpoint import LazyWeights
from deberta_dual.backends.torch import array_model
from deberta_torch import DebertaV2ForMaskedLM, DebertaV2ForSequenceClassification, DebertaV2Model
from deberta_torch.device_map import dispatch, find_places, spread

pytest.importorskip("accelerate")
CONV = CASES["v2_conv_groups"].config.replace(num_labels=3)
IDS = torch.arange(14).reshape(2, 7) + 5
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
LABELS = {
    "masked_lm": {"labels": IDS.masked_fill(MASK == 0, -100)},
    "sequence_classification": {"labels": IDS[:, 0] % 3},
    "question_answering": {"start_positions": IDS[:, 0] % 3, "end_positions": IDS[:, 0] % 3 + 1},
    "multiple_choice": {"labels": IDS[:, 0] % 3},
    None: {},
}
# A simulated accelerator: of torch's names the only one whose tensors can be indexed where it is not built in.
ACCELERATORS = [torch.device("lazy", number) for number in range(3)]
simulates = pytest.mark.skipif(torch.__version__ < "2.7", reason="torch 2.6 simulates no such accelerator")


def model_class(config, suffix):
    return getattr(deberta_torch, ("Deberta" if isinstance(config, DebertaConfig) else "DebertaV2") + suffix)


def inputs_of(cls, device="cpu"):
    ids, mask = IDS, MASK
    if cls.task == "multiple_choice":
        ids, mask = (tensor[:, None].expand(2, 3, 7) for tensor in (ids, mask))
    given = {"input_ids": ids, "attention_mask": mask, **LABELS[cls.task]}
    return {name: tensor.to(device) for name, tensor in given.items()}


@pytest.fixture
def saved(tmp_path):
    def save(cls, config=CONV):
        torch.manual_seed(0)
        cls(config).save_pretrained(tmp_path / "saved")
        return tmp_path / "saved"

    return save


SEVERAL = {"": "cpu", "encoder.layer.1": torch.device("cpu")}


def in_parts(cls):
    return SEVERAL if cls.task is None else {"": "cpu", "deberta": "cpu", "deberta.encoder.layer.1": "cpu"}


# One device


def test_one_device(saved):
    folder = saved(DebertaV2Model)
    plain = DebertaV2Model.from_pretrained(folder)
    for device_map in ("auto", "cpu", {"": "cpu"}, torch.device("cpu")):
        loaded = DebertaV2Model.from_pretrained(folder, device_map=device_map)
        assert loaded.device == torch.device("cpu" if device_map != "auto" else loaded.device)
        assert torch.equal(loaded.embeddings.LayerNorm.weight.cpu(), plain.embeddings.LayerNorm.weight)
        assert not hasattr(loaded, "hf_device_map")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "toaster"}, "device='toaster' is no device of torch"),
        ({"device_map": "toaster"}, "device_map='toaster' is no device of torch"),
        ({"device_map": {"encoder": "disk"}}, r"device_map\['encoder'\]='disk' is no device of torch"),
        ({"device_map": {"": None}}, r"device_map\[''\]=None is no device of torch"),
        ({"device": "cpu", "device_map": "auto"}, "device='cpu' and device_map='auto' were both given"),
        ({"device": "cpu", "device_map": {"": "cpu"}}, "were both given"),
        ({"device_map": {}}, "has no device for embeddings, encoder.LayerNorm, .*encoder.rel_embeddings"),
        ({"device_map": {"encoder": "cpu"}}, r"has no device for embeddings\. Give every part one"),
        (
            {"device_map": {"": "cpu", "encoder.layer.9": "cpu"}},
            r"names encoder\.layer\.9: no module of",
        ),
        ({"device_map": {"": "cpu", "encoder.layer.0.output": "cpu"}}, "one inside a part that stays on one device"),
        (
            {"device_map": {"": "cpu", "encoder.conv": "meta"}},
            r"has encoder\.conv on the meta device",
        ),
    ],
)
def test_what_is_refused(saved, options, message):
    with pytest.raises(InputError, match=message):
        DebertaV2Model.from_pretrained(saved(DebertaV2Model), **options)


# Several parts, by number


@pytest.mark.parametrize("suffix", ["Model", "ForMaskedLM", "ForSequenceClassification"])
@pytest.mark.parametrize("case", ["v1_like", "v2_conv_groups"])
def test_parts_compute_what_the_whole_does(case, suffix, saved):
    config = CASES[case].config.replace(num_labels=3)
    cls = model_class(config, suffix)
    folder = saved(cls, config)
    plain = cls.from_pretrained(folder)
    divided = cls.from_pretrained(folder, device_map=in_parts(cls))
    hooked = {name for name, module in divided.named_modules() if hasattr(module, "_hf_hook")}
    assert {"", *divided.hf_device_map} < hooked
    options = {"output_hidden_states": True, "output_attentions": True}
    expected, outputs = plain(**inputs_of(cls), **options), divided(**inputs_of(cls), **options)
    assert type(outputs) is type(expected)
    for one, two in zip(expected.to_tuple(), outputs.to_tuple(), strict=True):
        assert all(map(torch.equal, one, two)) if isinstance(one, tuple) else torch.equal(one, two)
    for output in (expected, outputs):
        output[0].sum().backward()
    wanted = {name: parameter.grad for name, parameter in plain.named_parameters() if parameter.grad is not None}
    assert wanted
    assert all(torch.equal(divided.get_parameter(name).grad, gradient) for name, gradient in wanted.items())


@pytest.mark.parametrize("legacy", [True, False])
def test_the_tied_decoder_stays_with_its_words(legacy, saved):
    head = "cls.predictions" if legacy else "lm_predictions.lm_head"
    model = meta_model(DebertaV2ForMaskedLM, CONV.replace(legacy=legacy))
    with pytest.raises(InputError, match=rf"has {head}.* on another device than deberta\.embeddings: the decoder"):
        find_places(model, None, {"deberta": "cpu", head: "cpu:1"})
    places = find_places(model, None, {"deberta.embeddings": "cpu", "deberta.encoder": "cpu:1", head: "cpu"})
    assert places["deberta.embeddings"] == places[head] != places["deberta.encoder.layer.0"]


def test_a_divided_model_is_saved_whole(saved, tmp_path):
    folder = saved(DebertaV2ForMaskedLM)
    divided = DebertaV2ForMaskedLM.from_pretrained(folder, device_map=in_parts(DebertaV2ForMaskedLM))
    divided.save_pretrained(tmp_path / "again")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


def test_a_divided_model_runs_in_pipelines(saved):
    folder = saved(DebertaV2ForMaskedLM)
    divided = DebertaV2ForMaskedLM.from_pretrained(folder, device_map=in_parts(DebertaV2ForMaskedLM))
    inputs, places = {"input_ids": IDS.numpy()}, torch.tensor([[0, 2], [1, 3]]).numpy()
    plain = array_model(DebertaV2ForMaskedLM.from_pretrained(folder)).run(inputs, places)
    assert (array_model(divided).run(inputs, places)["logits"] == plain["logits"]).all()


def test_dtypes_and_fresh_heads(saved):
    folder = saved(DebertaV2Model)
    for dtype in ("bfloat16", "auto"):
        model = DebertaV2ForSequenceClassification.from_pretrained(
            folder, device_map={"deberta": "cpu", "pooler": "cpu", "classifier": "cpu"}, dtype=dtype, new_head=True
        )
        assert {parameter.dtype for parameter in model.parameters()} == {model.dtype}
        assert model(IDS).logits.dtype == (torch.bfloat16 if dtype == "bfloat16" else torch.float32)


def test_maps_that_others_made_list_modules_without_parameters(saved):
    folder = saved(DebertaV2ForSequenceClassification)
    device_map = {"deberta": "cpu", "pooler": "cpu", "dropout": "cpu", "classifier": "cpu"}
    assert DebertaV2ForSequenceClassification.from_pretrained(folder, device_map=device_map)(IDS).logits.shape == (2, 3)


# Several devices, by device


@contextmanager
def simulated_accelerators():
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def simulated(cls, config, places_of):
    """A model without numbers whose parts are on the accelerators; called inside `simulated_accelerators`."""
    with torch.device("meta"):
        model = cls(config)
    places = places_of(model)
    for name, place in places.items():
        for module in model.get_submodule(name).modules():
            for own, parameter in module.named_parameters(recurse=False):
                setattr(module, own, nn.Parameter(torch.empty(parameter.shape, device=place)))
    getattr(model, "deberta", model).encoder.reset_buffers(torch.device("cpu"))
    dispatch(model, places)
    return model.eval()


def devices_in(outputs):
    values = [value if isinstance(value, tuple) else (value,) for value in outputs.to_tuple()]
    return {str(tensor.device) for value in values for tensor in value}


@simulates
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        ("v1_like", "ForMaskedLM"),
        ("v1_talking_head", "Model"),
        ("v2_conv", "ForQuestionAnswering"),
        ("v2_no_relative", "ForMultipleChoice"),
    ],
)
def test_nothing_meets_across_devices(case, suffix):
    config = CASES[case].config.replace(num_labels=3)
    cls = model_class(config, suffix)
    prefix = "" if cls.task is None else "deberta."

    def awkward(model):
        """Heads on the last device where they may be, and neighbours apart."""
        given = {"": ACCELERATORS[2], f"{prefix}encoder.layer.1": ACCELERATORS[1]}
        near = ACCELERATORS[2] if cls.task == "masked_lm" else ACCELERATORS[0]
        return find_places(model, None, given | {f"{prefix}embeddings": near})

    for places_of in (lambda model: spread(model, ACCELERATORS), awkward):
        with simulated_accelerators():
            model = simulated(cls, config, places_of)
            for attention in ("sdpa", "eager"):
                model.set_attn_implementation(attention)
                for device in (ACCELERATORS[1], torch.device("cpu")):
                    outputs = model(**inputs_of(cls, device), output_hidden_states=True)
                    assert devices_in(outputs) == {str(device)}
            if cls.task is not None:
                model.train()(**inputs_of(cls, ACCELERATORS[0])).loss.backward()
                trained = {parameter.grad.device == parameter.device for parameter in model.parameters()}
                assert trained == {True}


@simulates
def test_simulated_accelerators_refuse_to_meet():
    """Otherwise the test above could not fail."""
    with simulated_accelerators(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=ACCELERATORS[0]) + torch.ones(2, device=ACCELERATORS[1])


# "auto"


def meta_model(cls, config=CONV):
    with torch.device("meta"):
        return cls(config)


@pytest.fixture
def several_accelerators(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: len(ACCELERATORS))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("lazy"))


def test_auto_spreads_layers_over_all_accelerators(several_accelerators):
    config = CONV.replace(num_hidden_layers=12, vocab_size=400)
    places = find_places(meta_model(DebertaV2ForMaskedLM, config), None, "auto")
    numbers = [places[f"deberta.encoder.layer.{number}"].index for number in range(12)]
    assert numbers == sorted(numbers)
    assert {device.index for name, device in places.items() if ".layer." not in name} == {0}
    sizes = [0, 0, 0]
    model = meta_model(DebertaV2ForMaskedLM, config)
    for name, device in places.items():
        sizes[device.index] += sum(parameter.numel() for parameter in model.get_submodule(name).parameters())
    layer = sum(parameter.numel() for parameter in model.deberta.encoder.layer[0].parameters())
    share = model.num_parameters() / 3
    assert all(abs(size - share) <= layer for size in sizes)


def test_embeddings_larger_than_their_share_are_alone():
    places = spread(meta_model(DebertaV2Model, CONV.replace(vocab_size=10_000, num_hidden_layers=4)), ACCELERATORS)
    assert [places[f"encoder.layer.{number}"].index for number in range(4)] == [1, 1, 2, 2]


def test_auto_without_accelerate_is_one_device(several_accelerators, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert set(find_places(meta_model(DebertaV2Model), None, "auto").values()) == {torch.device("lazy")}


def test_several_parts_need_accelerate(saved, monkeypatch):
    folder = saved(DebertaV2Model)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(InputError, match=r"several parts, which need accelerate\. Use pip install accelerate"):
        DebertaV2Model.from_pretrained(folder, device_map=SEVERAL)
    assert DebertaV2Model.from_pretrained(folder, device_map={"": "cpu"}).device.type == "cpu"


# The meta device


@pytest.fixture
def unread(monkeypatch):
    def read(*_):
        raise AssertionError("numbers were read")

    monkeypatch.setattr(LazyWeights, "read", read)


@pytest.mark.parametrize("options", [{"device": "meta"}, {"device_map": "meta"}, {"device_map": {"": "meta"}}])
def test_the_meta_device_takes_no_numbers(options, saved, unread):
    folder = saved(DebertaV2Model)
    model = DebertaV2ForSequenceClassification.from_pretrained(folder, new_head=True, **options)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    logits = model(IDS.to("meta"), attention_mask=MASK.to("meta")).logits
    assert (logits.is_meta, logits.shape, model.training) == (True, (2, 3), False)


@pytest.mark.parametrize(
    ("dtype", "expected"), [(None, torch.float32), ("float16", torch.float16), ("auto", torch.bfloat16)]
)
def test_dtypes_on_the_meta_device(dtype, expected, unread, tmp_path):
    DebertaV2Model(CONV).bfloat16().save_pretrained(tmp_path)
    model = DebertaV2ForSequenceClassification.from_pretrained(tmp_path, device="meta", dtype=dtype, new_head=True)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert all(parameter.is_meta for parameter in model.parameters())


def test_what_has_no_numbers_is_not_saved(saved, tmp_path):
    model = DebertaV2Model.from_pretrained(saved(DebertaV2Model), device="meta")
    with pytest.raises(InputError, match=r"embeddings\.LayerNorm.* have no numbers .* Load the model to another"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
