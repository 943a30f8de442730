"""A step of SiFT with a given perturbation, by each implementation (NUMERICS 9)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from conformance.suite.golden import Array
from deberta_core import AutoConfig, reference

TASK = "sequence_classification"
Arrays = Mapping[str, Array]
_EPSILON = 1e-7  # of the norm without scale and shift
# Outputs by the names of the golden's, and gradients by parameter, none where there is no automatic differentiation.
Step = Callable[[Path, Arrays, Arrays], tuple[dict[str, Array], dict[str, Array]]]


def options_of(folder: Path) -> dict[str, Any]:
    """The arguments of SiFT in a golden folder."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    names = {"weight": "sift_weight", "radius": "init_perturbation", "step_size": "learning_rate"}
    return {name: case[stored] for name, stored in names.items()}


def reference_step(folder: Path, inputs: Arrays, perturbations: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """NumPy in float64; without gradients it is given the second perturbation, too."""
    from safetensors.numpy import load_file

    config = AutoConfig.from_pretrained(folder)
    params = {name: values.astype(np.float64) for name, values in load_file(folder / "model.safetensors").items()}
    scope = reference.Scope(params) / "deberta" / "embeddings"
    total = (scope / "word_embeddings")["weight"][inputs["input_ids"]]
    if config.embedding_width != config.hidden_size:
        total = reference.linear(total, scope / "embed_proj")
    centred = total - total.mean(-1, keepdims=True)
    normalised = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
    wide = config.replace(embedding_size=None)  # vectors are given behind the projection
    labels = {"labels": inputs["labels"], "attention_mask": inputs["attention_mask"]}

    def predict(vectors: Array) -> dict[str, Array]:
        return reference.forward(wide, params, labels | {"inputs_embeds": vectors}, TASK)

    clean, moved = predict(normalised), predict(normalised + perturbations["second"])
    adversarial = _cross_entropy(clean["logits"], moved["logits"]) + _cross_entropy(moved["logits"], clean["logits"])
    whole = clean["loss"] + options_of(folder)["weight"] * adversarial
    return {"logits": clean["logits"], "adversarial_loss": adversarial, "total_loss": whole}, {}


def _cross_entropy(target: Array, logits: Array) -> Array:
    target, logits = (np.exp(one - one.max(-1, keepdims=True)) for one in (target, logits))
    shares = target / target.sum(-1, keepdims=True)
    found: Array = -(shares * np.log(logits / logits.sum(-1, keepdims=True))).sum(-1).mean()
    return found


def torch_step(folder: Path, inputs: Arrays, perturbations: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """PyTorch in float64."""
    import torch

    from deberta_torch import AutoModelForSequenceClassification
    from deberta_torch.sift import SiFT

    model = AutoModelForSequenceClassification.from_pretrained(folder).double().train()
    batch = {name: torch.from_numpy(values) for name, values in inputs.items()}
    with SiFT(model, **options_of(folder)) as sift:
        output = model(**batch)
        adversarial = sift.adversarial_loss(output, batch, torch.from_numpy(perturbations["first"]))
        whole = output.loss + sift.weight * adversarial
    whole.backward()
    found = {"logits": output.logits, "adversarial_loss": adversarial, "total_loss": whole}
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    return {name: value.detach().numpy() for name, value in found.items()}, gradients


def keras_step(folder: Path, inputs: Arrays, perturbations: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """Keras in float32."""
    import tensorflow as tf

    from deberta_core.parameters import expand
    from deberta_tf import TFAutoModelForSequenceClassification
    from deberta_tf.sift import SiFT
    from deberta_tf.weights import parameter_variables

    model = TFAutoModelForSequenceClassification.from_pretrained(folder)
    batch = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}
    with SiFT(model, **options_of(folder)) as sift, tf.GradientTape() as tape:
        output = model(batch, return_dict=True, training=True)
        adversarial = sift.adversarial_loss(output, batch, perturbations["first"].astype(np.float32))
        whole = output.loss + sift.weight * adversarial
    variables, table = parameter_variables(model), expand(model.config, model.task)
    values = tape.gradient(whole, [variable.value for variable in variables.values()])
    gradients = {
        name: np.asarray(table[name].kind.convert(tf.convert_to_tensor(value).numpy()))
        for name, value in zip(variables, values, strict=True)
    }
    found: dict[str, Any] = {"logits": output.logits, "adversarial_loss": adversarial, "total_loss": whole}
    return {name: value.numpy() for name, value in found.items()}, gradients


STEPS: dict[str, Step] = {"reference": reference_step, "torch": torch_step, "keras": keras_step}
