"""`attn_implementation`: who computes attention in which call, with the same numbers; the numbers of real cases are in
`conformance/suite/test_attention_implementations.py`."""

import copy
import io
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from deberta_core import InputError
from deberta_torch import AutoModel, DebertaModel, DebertaV2ForMaskedLM, DebertaV2Model
from deberta_torch.kernels import attention_blocks
from deberta_torch.kernels import attention_functions as functions
from deberta_torch.kernels.attention_blocks import BlockSizes
from deberta_torch.masks import make_masks

V3 = CASES["v3_like"].config
IDS = torch.arange(46).reshape(2, 23) + 5
MASK = torch.ones_like(IDS)
MASK[1, 15:] = MASK[0, 3] = 0
NAMES = ("eager", "sdpa", "flex")  # "triton" needs a GPU, or an interpreter: `test_triton_attention.py`
unfused = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def make(config=V3, cls=DebertaV2Model):
    torch.manual_seed(0)
    model = cls(config.replace(initializer_range=0.4)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, 0.0, 0.2)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    make().save_pretrained(path)
    return path


@pytest.fixture
def called(monkeypatch):
    """The names of the implementations that layers called, in order."""
    seen = []

    def spy(name, function):
        def call(*args):
            seen.append(name)
            return function(*args)

        return call

    for name, function in list(functions.ATTENTION_FUNCTIONS.items()):
        monkeypatch.setitem(functions.ATTENTION_FUNCTIONS, name, spy(name, function))
    monkeypatch.setattr(functions, "eager_attention", functions.ATTENTION_FUNCTIONS["eager"])
    return seen


@pytest.mark.parametrize("cls", [DebertaV2Model, DebertaV2ForMaskedLM, AutoModel])
@pytest.mark.parametrize("name", NAMES)
def test_the_choice_is_an_argument_and_is_not_saved(cls, name, folder, tmp_path):
    model = cls.from_pretrained(folder, attn_implementation=name, **({"new_head": True} if "LM" in str(cls) else {}))
    assert model.attn_implementation == name
    model.save_pretrained(tmp_path)
    assert "attn_implementation" not in (tmp_path / "config.json").read_text()
    assert (
        json.loads((tmp_path / "config.json").read_text()).keys()
        == json.loads((folder / "config.json").read_text()).keys()
    )
    assert copy.deepcopy(model).attn_implementation == name


def test_the_default_and_its_change(folder):
    model = DebertaV2ForMaskedLM.from_pretrained(folder, new_head=True)
    assert model.attn_implementation == make().attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    assert model.attn_implementation == model.deberta.attn_implementation == "eager"


@pytest.mark.parametrize("name", ["flash_attention_2", "", None, "SDPA"])
def test_unknown_names(name, folder):
    with pytest.raises(InputError, match=r"attn_implementation=.* is unknown. Choose one of 'eager', 'sdpa', 'flex'"):
        make().set_attn_implementation(name)
    if name is not None:
        with pytest.raises(InputError, match="is unknown"):
            AutoModel.from_pretrained(folder, attn_implementation=name)


def test_an_old_torch_has_no_flex_attention(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn.attention.flex_attention", None)
    model = make()
    with pytest.raises(InputError, match=r"needs torch\.nn\.attention\.flex_attention, which torch .* does not have"):
        model.set_attn_implementation("flex")
    assert model.attn_implementation == "sdpa"


@unfused
@pytest.mark.parametrize("name", NAMES)
def test_eager_attention_serves_where_another_cannot(name, called):
    model = make()
    model.set_attn_implementation(name)
    layers = len(model.encoder.layer)
    with torch.no_grad():
        plain = model(IDS)
        assert plain.attentions is None
        assert called == [name] * layers
        called.clear()
        assert len(model(IDS, output_attentions=True).attentions) == layers
        assert called == ["eager"] * layers
        called.clear()
        model(IDS)
        assert called == [name] * layers  # each call by itself
        called.clear()
        model.train()(IDS)
        assert called == ["eager" if name == "flex" else name] * layers  # dropout
        called.clear()
    model.eval()(IDS)
    # Gradients are recorded, and the text is short.
    assert called == (["eager"] if name == "eager" else ["sdpa", "eager"]) * layers
    called.clear()
    mixing = make(CASES["v1_talking_head"].config, DebertaModel)
    mixing.set_attn_implementation(name)
    with torch.no_grad():
        mixing(IDS)
    assert set(called) == {"eager"}


def test_on_a_gpu_gradients_do_not_need_eager_attention():
    chosen = functions.choose_attention("sdpa", torch.device("cuda"), has_dropout=True, needs_probabilities=False)
    assert chosen.function is functions.sdpa_attention


@unfused
@pytest.mark.parametrize("name", ["sdpa", "flex"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_queries_that_see_no_key_get_zeros(name, dtype):
    layer = make().encoder.layer[0].attention.self.to(dtype)
    hidden = 10 * torch.randn(2, 23, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = MASK[:, None, :].repeat(1, 23, 1)
    mask[0, 5] = 0
    mask[1] = 0
    positions = make().to(dtype).encoder.relative_positions(23, 23)
    masks = make_masks(mask, 2, 23, hidden.device)
    with torch.no_grad():
        context, _ = layer(hidden, masks, positions, functions.ATTENTION_FUNCTIONS[name])
        hidden[0, 3] = 9  # a hidden key has no weight at all; its own query does change
        other, _ = layer(hidden, masks, positions, functions.ATTENTION_FUNCTIONS[name])
    assert context.isfinite().all()
    zero = (context == 0).all(dim=-1)
    assert torch.equal(zero, ~masks.queries[:, 0, :, 0])
    rest = torch.arange(23) != 3
    assert torch.equal(other[:, rest], context[:, rest])


@pytest.mark.parametrize("name", ["v1_like", "v1_c2p", "v1_p2c", "v1_short_span", "v3_like", "v2_no_terms"])
@pytest.mark.parametrize("sizes", [(8, 5), (7, 7), (23, 4), (5, 30)])
@pytest.mark.parametrize("form", [2, 3, None])
def test_blocks_of_any_size_give_the_same(name, sizes, form, monkeypatch):
    """The spans of 5 and of 8 buckets are reached within 23 tokens: some blocks have keys beyond, some have not."""
    config = CASES[name].config
    model = make(config.replace(max_relative_positions=10), DebertaModel if name.startswith("v1") else DebertaV2Model)
    if name == "v1_short_span":
        model = make(config, DebertaModel)
    mask = {2: MASK, 3: MASK[:, None].expand(2, 23, 23).tril(), None: None}[form]
    with torch.no_grad():
        model.set_attn_implementation("eager")
        expected = model(IDS, mask).last_hidden_state
        model.set_attn_implementation("sdpa")
        monkeypatch.setitem(attention_blocks.BLOCK_SIZES, "cpu", BlockSizes(0, *sizes))
        monkeypatch.setattr(functions.F, "scaled_dot_product_attention", count := Counting())
        actual = model(IDS, mask).last_hidden_state
    assert count.calls == len(model.encoder.layer) * -(-23 // sizes[0])
    real = MASK.bool()
    assert_close(actual[real].numpy(), expected[real].numpy(), quantity="hidden", name=name)


class Counting:
    def __init__(self):
        self.calls, self.function = 0, torch.nn.functional.scaled_dot_product_attention

    def __call__(self, *args, **options):
        self.calls += 1
        return self.function(*args, **options)


def test_table_dropout_is_by_row_of_the_table():
    """A dropped number of the table is missing at each distance that shares the row."""
    made = make(CASES["v3_like"].config)
    layer = made.encoder.layer[0].attention.self.train()
    layer.position_key = lambda table: table  # what the projection would be given
    positions = made.encoder.relative_positions(23, 23)
    positions = positions._replace(table=torch.ones_like(positions.table))
    layer.table_dropout.p = 0.5
    key = layer.position_rows(positions).key.transpose(0, 1).flatten(1)  # [W, C]
    shared = positions.rows[1:]
    assert len(shared) > len(positions.table)
    for row in shared.unique():
        assert (key[shared == row] == key[shared == row][0]).all()
    assert (key == 0).any()


def test_each_row_of_the_table_is_projected_once():
    """Of 45 distances within 23 tokens; and no more rows than the text reaches."""
    model, seen = make(V3.replace(share_att_key=False)), []
    model.encoder.layer[0].attention.self.pos_key_proj.register_forward_hook(
        lambda _, args, out: seen.append(len(args[0]))
    )
    with torch.no_grad():
        for length in (1, 3, 23):
            model(IDS[:, :length])
    assert seen == [1, 5, model.encoder.relative_positions(23, 23).rows[1:-1].unique().numel()]
    assert seen[-1] < model.encoder.config.table_rows < 45


def test_gradient_checkpointing_computes_the_same_again():
    """With dropout, which must fall on the same probabilities."""
    results = []
    for checkpointing in (False, True):
        model = make(V3.replace(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        torch.manual_seed(3)
        embedded = torch.randn(2, 23, 32, requires_grad=True)
        model(inputs_embeds=embedded).last_hidden_state.square().sum().backward()
        results.append(embedded.grad)
    assert torch.equal(*results)


def test_autocast():
    model = make()
    outputs = {}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for name in ("eager", "sdpa"):
            model.set_attn_implementation(name)
            outputs[name] = model(IDS, MASK).last_hidden_state[MASK.bool()].float().numpy()
    assert_close(outputs["sdpa"], outputs["eager"], quantity="fused bfloat16", name="autocast")


@pytest.mark.skipif(torch.__version__ < "2.7", reason="torch 2.6 guards against lengths beyond the span, or below it")
@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_an_exported_program_without_gradients(name):
    model = make(V3.replace(num_hidden_layers=1))
    model.set_attn_implementation(name)
    axes = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", min=2, max=500)}
    with torch.no_grad():
        program = torch.export.export(
            model,
            (),
            {"input_ids": IDS, "attention_mask": MASK},
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        )
        operators = {str(node.target) for node in program.graph.nodes}
        assert ("aten.scaled_dot_product_attention.default" in operators) == (name == "sdpa")
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file).module()
        for ids, mask in ((IDS, MASK), (IDS.repeat(1, 9), MASK.repeat(1, 9))):
            actual = loaded(input_ids=ids, attention_mask=mask).last_hidden_state
            expected = model(ids, mask).last_hidden_state
            real = mask.bool()
            assert_close(actual[real].numpy(), expected[real].numpy(), quantity="hidden", name=f"{ids.shape}")


@unfused
@pytest.mark.parametrize(
    ("name", "backend"),
    [("sdpa", "eager"), ("flex", "eager"), *(pytest.param(n, "inductor", marks=pytest.mark.slow) for n in NAMES)],
)
def test_compiled_without_gradients(name, backend):
    torch.compiler.reset()
    model = make(V3.replace(num_hidden_layers=1))
    model.set_attn_implementation(name)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        for length in (9, 23):
            ids, mask = IDS[:, :length], MASK[:, :length]
            actual, real = compiled(ids, mask).last_hidden_state, mask.bool()
            model.set_attn_implementation("eager")
            expected = model(ids, mask).last_hidden_state
            model.set_attn_implementation(name)
            assert_close(actual[real].numpy(), expected[real].numpy(), quantity="hidden", name=f"{name} {length}")


MEASURE = """
import re, torch
from deberta_core import DebertaV2Config
from deberta_torch import DebertaV2Model
model = DebertaV2Model(DebertaV2Config.preset("deberta-v3-base")).eval()
ids = torch.arange(8192)[None] % 1000 + 5
with torch.no_grad():
    assert model(ids).last_hidden_state.isfinite().all()
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_8192_tokens_in_two_gigabytes():
    """v3-base with its real vocabulary in float32, in a fresh process: weights, torch and all."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    print(f"peak {int(done.stdout) / 1e6:.2f} GB")
    assert int(done.stdout) * 1024 < 2e9
