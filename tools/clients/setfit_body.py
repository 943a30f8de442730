"""SetFit: our model in the place of the body's, with a head of scikit-learn and one of torch."""

from __future__ import annotations

import tempfile

import numpy as np
import sentence_transformers
import setfit
import sklearn.linear_model
import torch

from deberta_torch import AutoModel, as_transformers
from tools.clients.report import report
from tools.clients.tiny import LABELS, TEXTS, make

ENVIRONMENTS = ("hf4", "hf5")


def main() -> None:
    """Trains heads on the body's sentence vectors, which are ours; then the body, by pairs."""
    model, tokenizer = make("Model")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        as_transformers(model, tokenizer)[1].save_pretrained(folder)
        body = sentence_transformers.SentenceTransformer(folder, device="cpu")
        theirs = body.encode(TEXTS)
        place = next(name for name in ("model", "auto_model") if name in body[0]._modules)
        setattr(body[0], place, model)
        vectors = body.encode(TEXTS)
        assert np.abs(vectors - theirs).max() <= 1e-5

        classifier = setfit.SetFitModel(model_body=body, model_head=sklearn.linear_model.LogisticRegression())
        classifier.fit(TEXTS, LABELS, num_epochs=1)
        assert list(classifier.predict(TEXTS)) == LABELS
        np.testing.assert_allclose(classifier.predict_proba(TEXTS), classifier.model_head.predict_proba(vectors))

        head = setfit.SetFitHead(in_features=32, out_features=2)
        classifier = setfit.SetFitModel(model_body=body, model_head=head)
        before = model.encoder.layer[0].attention.self.query_proj.weight.detach().clone()
        classifier.unfreeze("body", keep_body_frozen=False)
        classifier.fit(
            TEXTS, LABELS, num_epochs=30, batch_size=4, body_learning_rate=1e-3, head_learning_rate=1e-1,
            end_to_end=True, show_progress_bar=False,
        )  # fmt: skip
        assert classifier.predict(TEXTS).tolist() == LABELS
        assert not torch.equal(before, model.encoder.layer[0].attention.self.query_proj.weight)
        model.save_pretrained(folder)
        saved = AutoModel.from_pretrained(folder)
        assert all(torch.equal(saved.state_dict()[name], value) for name, value in model.state_dict().items())
    checks = ["our model in the body: its sentence vectors, a logistic head", "end to end with SetFitHead"]
    report("setfit", checks)


if __name__ == "__main__":
    main()
