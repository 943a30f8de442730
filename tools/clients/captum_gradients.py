"""Captum: integrated gradients from the word embeddings to a class, through our layers."""

from __future__ import annotations

import torch
from captum.attr import LayerIntegratedGradients, Saliency

from tools.clients.report import report
from tools.clients.tiny import batch_of, make

ENVIRONMENTS = ("hf5",)


def main() -> None:
    """What is attributed to the tokens sums to the difference that the text makes; padding gets nothing."""
    model, tokenizer = make()
    model = model.double()
    batch = batch_of(tokenizer)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    special = torch.tensor(tokenizer.all_special_ids)
    baseline = torch.where(torch.isin(ids, special), ids, tokenizer.mask_token_id)

    def score(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return logits[:, 1]

    method = LayerIntegratedGradients(score, model.deberta.embeddings.word_embeddings)
    attributions, delta = method.attribute(
        ids, baseline, additional_forward_args=mask, n_steps=400, return_convergence_delta=True
    )
    with torch.no_grad():
        difference = score(ids, mask) - score(baseline, mask)
    assert difference.abs().max() > 0.1, difference
    assert delta.abs().max() < 1e-3 * difference.abs().max(), (delta, difference)
    torch.testing.assert_close(attributions.sum((1, 2)) - difference, delta)
    assert not attributions[mask == 0].any()
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
    saliency = Saliency(lambda values, mask: model(inputs_embeds=values, attention_mask=mask).logits[:, 1])
    gradient = torch.autograd.grad(model(inputs_embeds=embeddings, attention_mask=mask).logits[:, 1].sum(), embeddings)
    torch.testing.assert_close(saliency.attribute(embeddings, additional_forward_args=mask, abs=False), gradient[0])
    report("captum", ["LayerIntegratedGradients on the word embeddings: complete", "Saliency of inputs_embeds"])


if __name__ == "__main__":
    main()
