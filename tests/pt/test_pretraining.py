"""Generator and discriminator: what is shared, what is drawn, what is saved; steps are in the suite's goldens."""

import copy

import numpy as np
import pytest
import torch

from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from deberta_core.checkpoint import generator_config_of
from deberta_core.errors import ConfigError, DebertaWarning, InputError
from deberta_core.tasks import PreTrainingOutput
from deberta_torch import (
    DebertaForPreTraining,
    DebertaV2ForMaskedLM,
    DebertaV2ForPreTraining,
    DebertaV2ForReplacedTokenDetection,
)

CONFIG = CASES["v3_like"].config
IDS = torch.arange(36).reshape(3, 12) + 5
MASK = torch.ones_like(IDS)
MASK[2, 8:] = 0
LABELS = torch.full_like(IDS, -100)
LABELS[0, 2], LABELS[1, 4], LABELS[2, 1] = 50, 51, 52
WORDS = "deberta.embeddings.word_embeddings"


def make(sharing="gdes", config=CONFIG, cls=DebertaV2ForPreTraining, **options):
    torch.manual_seed(0)
    config = config.replace(initializer_range=0.3)
    return cls(generator_config_of(config), config, sharing, **options)


def step(model, **options):
    random = torch.Generator().manual_seed(1)
    return model(IDS, MASK, labels=LABELS, random=random, **options)


@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
@pytest.mark.parametrize(("name", "cls"), [("v3_like", DebertaV2ForPreTraining), ("v1_like", DebertaForPreTraining)])
def test_a_step(sharing, name, cls):
    model = make(sharing, CASES[name].config, cls).eval()
    output = step(model)
    assert isinstance(output, PreTrainingOutput)
    assert output.keys() == PreTrainingOutput.all_fields
    assert torch.equal(output.loss, output.mlm_loss + 50 * output.rtd_loss)
    assert output.generator_logits.shape == (3, 97)
    changed = output.corrupted_ids != IDS
    assert not changed[LABELS < 0].any()
    assert torch.equal(output.replaced[MASK == 0], torch.full((4,), -100))
    expected = (LABELS >= 0) & (output.corrupted_ids != LABELS)
    assert torch.equal(output.replaced[MASK == 1], expected[MASK == 1].long())
    output.loss.backward()


def test_disentangled_tables_have_a_loss_each():
    model = make().eval()
    words, delta = model.generator.get_input_embeddings().weight, model.discriminator.get_input_embeddings()._weight
    output = step(model)
    of_mlm = torch.autograd.grad(output.mlm_loss, [words, delta], retain_graph=True, allow_unused=True)
    of_rtd = torch.autograd.grad(output.rtd_loss, [words, delta], allow_unused=True)
    assert of_mlm[1] is None
    assert of_rtd[0] is None
    assert of_mlm[0].any()
    assert of_rtd[1].any()
    positions = model.discriminator.deberta.embeddings.position_embeddings._weight
    assert not positions.requires_grad


def test_the_padding_row_of_the_difference_gets_no_gradient():
    model = make().eval()
    padding = CONFIG.pad_token_id
    told = model.discriminate(torch.full_like(IDS, padding), replaced=torch.zeros_like(IDS))
    told.rtd_loss.backward()
    assert not model.discriminator.get_input_embeddings()._weight.grad.any()


def test_the_discriminator_reads_the_generators_table_as_it_is_now():
    model = make().eval()
    before = model.discriminate(IDS).logits
    with torch.no_grad():
        model.generator.get_input_embeddings().weight.add_(1)
    assert not torch.equal(model.discriminate(IDS).logits, before)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.generator.get_input_embeddings().weight.zero_()
    assert not other.discriminator.get_input_embeddings().weight.any()
    assert model.discriminator.get_input_embeddings().weight.any()


def test_one_table_is_one_parameter():
    model = make("es")
    assert model.generator.get_input_embeddings().weight is model.discriminator.get_input_embeddings().weight


# The draw


def logits_for(probabilities):
    return torch.log(torch.tensor(probabilities))


def draws(model, probabilities, count=40000, seed=0):
    labels = torch.zeros((1, count), dtype=torch.long)
    logits = logits_for(probabilities).expand(count, -1)
    random = torch.Generator().manual_seed(seed)
    return model._drawn(torch.zeros_like(labels), labels, logits, random)


def probabilities():
    share = np.zeros(97, np.float32)
    share[[0, 3, 50, 95, 96]] = [0.1, 0.2, 0.3, 0.15, 0.25]
    return share


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature):
    shares = probabilities()
    found = np.bincount(draws(make(temperature=temperature), shares)[0].numpy(), minlength=97) / 40000
    expected = shares ** (1 / temperature) / (shares ** (1 / temperature)).sum()
    deviation = np.sqrt(expected * (1 - expected) / 40000)
    assert (np.abs(found - expected) <= 5 * deviation).all()


def test_special_tokens_and_ids_past_the_tokenizers_are_never_drawn():
    found = draws(make(special_ids=[0, 3], num_tokens=96), probabilities())
    assert set(found.flatten().tolist()) == {50, 95}
    everything = draws(make(special_ids=[0, 3], num_tokens=96, sample_special=True), probabilities())
    assert set(everything.flatten().tolist()) == {0, 3, 50, 95, 96}


def test_weights_that_are_no_numbers_are_told_by_the_loss():
    """And not by a drawn id that the vocabulary does not have."""
    model = make()
    torch.nn.init.constant_(model.generator.deberta.embeddings.LayerNorm.weight, torch.nan)
    output = step(model)
    assert output.mlm_loss.isnan()
    assert output.corrupted_ids.max() < model.config.vocab_size


def test_a_seed_gives_the_same_draws():
    model = make().eval()
    assert torch.equal(step(model).corrupted_ids, step(model).corrupted_ids)
    shares = probabilities()
    assert not torch.equal(draws(model, shares), draws(model, shares, seed=1))


# Context tokens of packed texts


def test_packed_texts_read_their_own_context_token():
    torch.manual_seed(0)
    model = DebertaV2ForReplacedTokenDetection(CONFIG.replace(initializer_range=0.3)).eval()
    block = torch.zeros((1, 12, 12), dtype=torch.long)
    block[:, :5, :5] = block[:, 5:, 5:] = 1
    packed = model(IDS[:1], block).logits
    alone = torch.cat([model(IDS[:1, :5]).logits, model(IDS[:1, 5:]).logits], dim=1)
    assert_close(packed.detach().numpy(), alone.detach().numpy(), quantity="logits", name="packed")


# Files


@pytest.mark.parametrize("sharing", ["gdes", "es", "none"])
def test_both_are_saved_and_read(tmp_path, sharing):
    model = make(sharing).eval()
    with torch.no_grad():
        for parameter in model.discriminator.parameters():
            parameter.add_(0.01)
    model.save_pretrained(tmp_path, keep_delta=True)
    read = DebertaV2ForPreTraining.from_pretrained(tmp_path)
    assert read.embedding_sharing == sharing
    own, other = step(model), step(read)
    assert torch.equal(own.loss, other.loss)
    discriminator = DebertaV2ForReplacedTokenDetection.from_pretrained(tmp_path).eval()
    own, other = (model(IDS, MASK).logits[MASK == 1].detach().numpy() for model in (model.discriminator, discriminator))
    assert_close(other, own, quantity="logits", name="folded")
    generator = DebertaV2ForMaskedLM.from_pretrained(tmp_path / "model.generator.safetensors")
    assert generator.config.num_hidden_layers == 2
    assert torch.equal(generator(IDS).logits, model.generator(IDS).logits)


def test_a_discriminator_alone_goes_on_with_a_generator_made_of_it(tmp_path):
    torch.manual_seed(0)
    DebertaV2ForReplacedTokenDetection(CONFIG).save_pretrained(tmp_path)
    with pytest.warns(DebertaWarning, match="so one was made"):
        model = DebertaV2ForPreTraining.from_pretrained(tmp_path, generator=None, seed=0)
    assert model.generator.config.num_hidden_layers == 2
    assert not model.discriminator.get_input_embeddings()._weight.any()
    step(model).loss.backward()


# Bad input


def test_bad_input():
    wide = CONFIG.replace(hidden_size=64, embedding_size=64)
    with pytest.raises(ConfigError, match="the widths of the embeddings, which are shared"):
        DebertaV2ForPreTraining(generator_config_of(wide), CONFIG)
    with pytest.raises(ConfigError, match="takes a DebertaV2Config"):
        DebertaV2ForPreTraining(CASES["v1_like"].config, CONFIG)
    with pytest.raises(InputError, match=r"temperature=0 is not allowed"):
        make(temperature=0)
    with pytest.raises(InputError, match="leave no id"):
        make(num_tokens=0)
    with pytest.raises(InputError, match="labels are missing"):
        make()(IDS)
    with pytest.raises(InputError, match="labels holds 2: a class must be an integer in"):
        make().discriminate(IDS, replaced=torch.full_like(IDS, 2))
