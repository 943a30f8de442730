"""sentence-transformers: what we train it loads, and gives the same vectors; what it saves we read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import losses
from sentence_transformers.sentence_transformer.modules import Pooling

from deberta_core.comparisons import ANCHOR, NEGATIVE, POOLINGS, POSITIVE
from deberta_dual import Start, TrainingOptions, finetune, pipeline
from deberta_torch.comparison_losses import COMPARISONS
from deberta_torch.losses import mean_loss
from tools.clients.report import report
from tools.clients.tiny import TEXTS

ENVIRONMENTS = ("hf4", "hf5")
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
PAIRS = [{"anchor": text, "positive": " ".join(reversed(text.split()))} for text in TEXTS]
MODES = {"first": "cls", "mean": "mean", "weighted": "weightedmean", "max": "max"}


def main() -> None:
    """Trains with every pooling and loads the folder; then saves it there, and reads it here."""
    assert set(MODES) == set(POOLINGS)
    with tempfile.TemporaryDirectory() as place:
        for name in POOLINGS:
            folder = Path(place, name)
            start = Start(preset="deberta-v3-small", changes={**SIZES, "position_buckets": 8}, vocab_size=310)
            training = TrainingOptions(epochs=2, batch_size=4, learning_rate=1e-3)
            finetune("sentence-embeddings", PAIRS, folder, start, training, pooling=name, max_length=12, device="cpu")
            ours = np.stack(pipeline("sentence-embeddings", folder, device="cpu", truncation=True)(TEXTS))
            theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
            assert theirs.max_seq_length == 12
            assert np.abs(theirs.encode(TEXTS) - ours).max() <= 1e-5, name
            assert np.abs(theirs.similarity(ours[:1], ours).numpy()[0] - ours @ ours[0]).max() <= 1e-5

            assert [part.pooling_mode for part in theirs if isinstance(part, Pooling)] == [MODES[name]]
            theirs.save(str(folder / "saved"))
            again = np.stack(pipeline("sentence-embeddings", folder / "saved", device="cpu", truncation=True)(TEXTS))
            assert np.abs(again - ours).max() <= 1e-5, name
    _compare_losses()
    _compare_scores()
    checks = [
        "folders of `deberta finetune --task sentence-embeddings` with each pooling: the same vectors",
        "what it saves of them: the same vectors here",
        "CrossEncoder over a folder of `--task ranking --loss pairwise`: the same scores",
        "its MultipleNegativesRankingLoss and CosineSimilarityLoss: the same numbers",
    ]
    report("sentence-transformers", checks, takes="the folder")


def _compare_scores() -> None:
    """A cross-encoder whose scores have no bounds."""
    rows = [{"query": "river", "document": text, "relevance": place} for place, text in enumerate(TEXTS)]
    start = Start(preset="deberta-v3-small", changes={**SIZES, "position_buckets": 8}, vocab_size=310)
    with tempfile.TemporaryDirectory() as folder:
        finetune("ranking", rows, folder, start, TrainingOptions(epochs=1), loss="pairwise", device="cpu")
        pairs = [("river", text) for text in TEXTS]
        ours = [one["score"] for one in pipeline("ranking", folder, device="cpu")(pairs)]
        theirs = sentence_transformers.CrossEncoder(folder, device="cpu").predict(pairs)
        assert np.abs(theirs - ours).max() <= 1e-5


def _compare_losses() -> None:
    """Theirs of vectors that are there already, and ours."""
    body = sentence_transformers.SentenceTransformer(modules=[torch.nn.Identity()], device="cpu")
    parts = [torch.randn(5, 8, generator=torch.Generator().manual_seed(part)) for part in range(3)]
    for count in (2, 3):
        theirs = losses.MultipleNegativesRankingLoss(body).compute_loss_from_embeddings(parts[:count], None)
        roles = [ANCHOR, POSITIVE, NEGATIVE][:count]
        labels = torch.tensor([[row, role, row * 3 + role, 0.0] for row in range(5) for role in roles])
        ours = mean_loss([COMPARISONS["multiple-negatives"](torch.stack(parts[:count], 1).flatten(0, 1), labels)])
        assert abs(float(theirs) - float(ours)) <= 1e-5
    scores = torch.linspace(0, 1, 5)
    theirs = losses.CosineSimilarityLoss(body).compute_loss_from_embeddings(parts[:2], scores)
    labels = torch.tensor([[row, role, row * 2 + role, float(scores[row])] for row in range(5) for role in (0, 1)])
    ours = mean_loss([COMPARISONS["cosine"](torch.stack(parts[:2], 1).flatten(0, 1), labels)])
    assert abs(float(theirs) - float(ours)) <= 1e-6


if __name__ == "__main__":
    main()
