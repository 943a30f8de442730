"""GLiNER: our backbone in the place of its DeBERTa, raw and as the bridge; the same entities, and training."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import gliner
import torch

from deberta_torch import AutoModel, as_transformers
from tools.clients.report import report
from tools.clients.tiny import TEXTS, make

ENVIRONMENTS = ("hf4",)  # for transformers 5 it has only an older release, whose from_config fails
NAMES = ["person", "town", "animal"]


def entities(model: Any) -> list[dict[str, Any]]:
    """Spans of every text."""
    return [span for text in TEXTS for span in model.predict_entities(text, NAMES, threshold=0.3)]


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Asserts the same spans, and scores within 1e-4."""
    for one, other in zip(found, expected, strict=True):
        assert {**one, "score": 0} == {**other, "score": 0}
        assert abs(one["score"] - other["score"]) < 1e-4


def main() -> None:
    """Their model with their backbone, then with ours of the same weights."""
    backbone, tokenizer = make("Model")
    with tempfile.TemporaryDirectory() as folder:
        backbone.save_pretrained(folder)
        as_transformers(backbone, tokenizer)[1].save_pretrained(folder)
        config = gliner.GLiNERConfig(
            model_name=folder, hidden_size=32, max_width=4, max_len=64, num_rnn_layers=1, fine_tune=True
        )
        torch.manual_seed(0)
        model = gliner.GLiNER.from_config(config)
        model.eval()
        holder = model.model.token_rep_layer.bert_layer
        theirs = holder.model
        theirs.save_pretrained(folder)
        expected = entities(model)
        assert len(expected) > 3
        ours = AutoModel.from_pretrained(folder).eval()
        for one in (ours, as_transformers(copy.deepcopy(ours))):
            holder.model = one
            same(entities(model), expected)
        holder.model = ours
        before = ours.encoder.layer[0].output.dense.weight.detach().clone()
        data = [{"tokenized_text": TEXTS[2].split(), "ner": [[0, 1, "person"]]}] * 4
        found = model.train_model(
            data, data, output_dir=f"{folder}/trained", max_steps=3, per_device_train_batch_size=2, use_cpu=True,
            report_to=[], disable_tqdm=True, learning_rate=1e-3, save_strategy="no", dataloader_num_workers=0,
        )  # fmt: skip
        assert found.state.global_step == 3
        assert not torch.equal(before, ours.encoder.layer[0].output.dense.weight)
    report("gliner", ["our backbone, raw and as the bridge: the same entities", "train_model with ours"])


if __name__ == "__main__":
    main()
