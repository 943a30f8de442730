"""Lightning: a module around our model, trained, resumed, and its checkpoint read by from_pretrained."""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import lightning
import torch

from deberta_core import DataCollatorWithPadding
from deberta_torch import DebertaV2ForSequenceClassification
from tools.clients.report import report
from tools.clients.tiny import LABELS, TEXTS, batch_of, make

ENVIRONMENTS = ("hf5",)


class Classifier(lightning.LightningModule):  # type: ignore[misc] # a class of an environment of its own
    """As its users write it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """The model's own loss."""
        loss: torch.Tensor = self.model(**batch).loss
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        """The same on other data."""
        self.log("val_loss", self.model(**batch).loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main() -> None:
    """Three steps, then three more from the checkpoint."""
    model, tokenizer = make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    rows: Any = [{**tokenizer(text), "labels": label} for text, label in zip(TEXTS, LABELS, strict=True)] * 3
    collate = DataCollatorWithPadding(tokenizer, return_tensors="pt")
    loader: Any = torch.utils.data.DataLoader(rows, 4, collate_fn=collate)
    before = model.classifier.weight.detach().clone()
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    options |= {"enable_model_summary": False, "gradient_clip_val": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(max_steps=3, default_root_dir=folder, **options)
        (untrained,) = trainer.validate(Classifier(model), loader, verbose=False)
        trainer.fit(Classifier(model.train()), loader, loader)
        assert trainer.callback_metrics["val_loss"] < untrained["val_loss"]
        assert not torch.equal(before, model.classifier.weight)
        trainer.save_checkpoint(f"{folder}/last.ckpt")
        model.config.save_pretrained(folder)
        read: Any = DebertaV2ForSequenceClassification.from_pretrained(f"{folder}/last.ckpt")
        batch = batch_of(tokenizer)
        with torch.no_grad():
            assert torch.equal(read(**batch).logits, model.eval()(**batch).logits)
        again = Classifier(make()[0].train())
        longer = lightning.Trainer(max_steps=6, default_root_dir=folder, **options)
        longer.fit(again, loader, loader, ckpt_path=f"{folder}/last.ckpt")
        assert longer.global_step == 6
        assert not torch.equal(again.model.classifier.weight, model.classifier.weight)
        loaded = Classifier.load_from_checkpoint(f"{folder}/last.ckpt", model=make()[0])
        assert torch.equal(loaded.model.classifier.weight, model.classifier.weight)
    report("lightning", ["fit, validate, resume", "from_pretrained of its .ckpt", "load_from_checkpoint"])


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
