"""One step of training in each framework, from what the collators make."""

import numpy as np
import pytest

from deberta_core import (
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForNGramMask,
    DataCollatorForTokenClassification,
    DataCollatorForWholeWordMask,
    DataCollatorWithPadding,
    DebertaV2Config,
    align_word_labels,
    answer_windows,
)


@pytest.fixture(scope="module")
def config(small_tokenizer):
    return DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        pos_att_type=("c2p", "p2c"),
        position_buckets=8,
        type_vocab_size=2,
        num_labels=3,
    )


@pytest.fixture(scope="module")
def batches(small_tokenizer, prose):
    """Class name of a model -> a batch of NumPy arrays."""
    tokenizer = small_tokenizer
    rows = [dict(tokenizer(text)) for text in prose[:4]]
    words = tokenizer([text.split() for text in prose[:4]], is_split_into_words=True)
    tagged = [
        {"input_ids": words["input_ids"][row], "labels": align_word_labels([1] * 99, words.word_ids(row))}
        for row in range(4)
    ]
    choices = [{**tokenizer([text] * 3, ["It rains.", "It snows.", "It is dry."]), "label": 1} for text in prose[:2]]
    windows = answer_windows(tokenizer, ["What rises?"] * 4, prose[:4], [(4, 9)] * 4, max_length=60, stride=10)
    return {
        "ForSequenceClassification": DataCollatorWithPadding(tokenizer)([{**row, "label": 2} for row in rows]),
        "ForTokenClassification": DataCollatorForTokenClassification(tokenizer)(tagged),
        "ForQuestionAnswering": DataCollatorWithPadding(tokenizer)([window.inputs for window in windows]),
        "ForMultipleChoice": DataCollatorForMultipleChoice(tokenizer)(choices),
        "ForMaskedLM": DataCollatorForNGramMask(tokenizer, seed=0)(rows),
    }


def test_pytorch(config, batches):
    torch = pytest.importorskip("torch")
    deberta_torch = pytest.importorskip("deberta_torch")
    torch.manual_seed(0)
    for name, batch in batches.items():
        model = getattr(deberta_torch, f"DebertaV2{name}")(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        inputs = {key: torch.from_numpy(array) for key, array in batch.items()}
        before = model(**inputs).loss
        before.backward()
        optimizer.step()
        model.eval()
        assert model(**inputs).loss < before, name


@pytest.mark.parametrize("collator", [DataCollatorForLanguageModeling, DataCollatorForWholeWordMask])
def test_pytorch_loader(config, small_tokenizer, prose, collator):
    torch = pytest.importorskip("torch")
    deberta_torch = pytest.importorskip("deberta_torch")
    rows = [dict(small_tokenizer(text)) for text in prose]
    loader = torch.utils.data.DataLoader(rows, 4, collate_fn=collator(small_tokenizer, return_tensors="pt", seed=0))
    model = deberta_torch.DebertaV2ForMaskedLM(config)
    assert all(bool(model(**batch).loss.isfinite()) for batch in loader)


@pytest.mark.parametrize("name", ["ForMaskedLM", "ForQuestionAnswering"])
def test_keras(config, batches, name):
    deberta_tf = pytest.importorskip("deberta_tf")
    model = getattr(deberta_tf, f"TFDebertaV2{name}")(config)
    model.compile("adam", run_eagerly=True)  # tests of fit have the compiled step
    losses, weights = [], []
    for _ in range(2):
        losses.append(model.train_on_batch(batches[name]))
        weights.append(model.get_weights())
    assert np.isfinite(losses).all()
    assert all(0 < loss < 20 for loss in losses)
    assert any(not np.array_equal(*pair) for pair in zip(*weights, strict=True))
