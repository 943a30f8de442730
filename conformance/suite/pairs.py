"""Golden folders of generator and discriminator together, and one protocol over what computes their steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from conformance.suite.golden import OWN, PRETRAINING, Array
from deberta_core import DebertaV2Config, reference
from deberta_core.checkpoint import read_pair
from deberta_core.parameters import DELTA_NAMES, expand

HEAD = "ForPreTraining"


@dataclass(frozen=True, slots=True)
class PairGolden:
    """One golden folder.

    Attributes:
        folder: the folder.
        embedding_sharing: of the two models.
        rtd_lambda: what the discriminator's loss is multiplied with.
        generator_rate: of the step of plain SGD that the generator makes before the discriminator's forward pass; None
            for a joint step.
    """

    folder: Path
    embedding_sharing: str
    rtd_lambda: float
    generator_rate: float | None

    def tensors(self, kind: str) -> dict[str, Array]:
        """The tensors of one kind: "input", "output", "grad", "grad_mlm" or "grad_rtd"; losses as scalars."""
        from safetensors.numpy import load_file

        named = load_file(self.folder / "expected.safetensors")
        chosen = {name.removeprefix(f"{kind}."): value for name, value in named.items() if name.startswith(f"{kind}.")}
        return {name: value.reshape(()) if name.endswith("loss") else value for name, value in chosen.items()}


class PairAdapter(Protocol):
    """A generator and a discriminator of one framework, read from a golden folder."""

    name: str

    def __init__(self, golden: PairGolden) -> None:
        """Reads both models as users do."""

    def step(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """A step as the golden's, dropout off.

        Returns:
            outputs by the names of the golden's; and gradients by its names, `grad.generator.NAME` and so on, or none
            where there is no automatic differentiation.
        """


class ReferencePair:
    """The judge: NumPy in float64."""

    name = "reference"

    def __init__(self, golden: PairGolden) -> None:
        self.golden = golden

    def step(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """See `PairAdapter`; the generator's step of SGD uses the golden's gradients."""
        with read_pair(self.golden.folder, DebertaV2Config) as pair:
            weights, own = dict(pair.generator), dict(pair.discriminator)
            outputs = reference.pretraining(
                pair.generator_config, pair.config, weights, own, inputs, self.golden.rtd_lambda
            )
            rate = self.golden.generator_rate
            if rate is not None:
                gradients = self.golden.tensors("grad_mlm")
                moved = {n: v.astype(np.float64) - rate * gradients[f"generator.{n}"] for n, v in weights.items()}
                after = reference.pretraining(
                    pair.generator_config, pair.config, moved, own, inputs, self.golden.rtd_lambda
                )
                outputs |= {name: after[name] for name in ("rtd_loss", "logits")}
                weights = moved
        return named_outputs(outputs, reference.discriminator_tables(weights, own)), {}


class TorchPair:
    """PyTorch in float64."""

    name = "torch"

    def __init__(self, golden: PairGolden) -> None:
        import torch

        from deberta_torch import DebertaV2ForPreTraining

        self.golden = golden
        self.model = DebertaV2ForPreTraining.from_pretrained(golden.folder, rtd_lambda=golden.rtd_lambda)
        self.model.to(torch.float64)

    def step(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """See `PairAdapter`."""
        import torch

        model, rate = self.model, self.golden.generator_rate
        given: dict[str, Any] = {name: torch.from_numpy(value) for name, value in inputs.items()}
        gradients: dict[str, Array] = {}
        outputs: dict[str, Any] = {}
        if rate is None:
            joint = model(**given)
            joint.loss.backward()
            outputs["loss"] = joint.loss
            gradients |= self._gradients("grad")
        corrupted = given.pop("corrupted_ids")
        made = model.corrupt(**given, corrupted_ids=corrupted)
        made.mlm_loss.backward()
        if rate is not None:
            torch.optim.SGD(model.generator.parameters(), rate).step()
        gradients |= self._gradients("grad_mlm")
        told = model.discriminate(made.corrupted_ids, given["attention_mask"], replaced=made.replaced)
        (model.rtd_lambda * told.rtd_loss).backward()
        gradients |= self._gradients("grad_rtd")
        outputs |= {**made._asdict(), **told._asdict()}
        return named_outputs({n: v.detach().numpy() for n, v in outputs.items()}, self._tables()), gradients

    def _gradients(self, kind: str) -> dict[str, Array]:
        found = {
            f"{kind}.{name}": parameter.grad.numpy().copy()
            for name, parameter in self.model.named_parameters()  # one that is shared comes once
            if parameter.grad is not None
        }
        self.model.zero_grad()
        return found

    def _tables(self) -> dict[str, Array]:
        tables = {}
        for name in ("word_embeddings", "position_embeddings"):
            own = getattr(self.model.discriminator.deberta.embeddings, name)
            table = own or getattr(self.model.generator.deberta.embeddings, name)
            tables[f"deberta.embeddings.{name}.weight"] = table.weight.detach().numpy()
        return tables


class KerasPair:
    """Keras in float32, op by op."""

    name = "keras"

    def __init__(self, golden: PairGolden) -> None:
        from deberta_tf import TFDebertaV2ForPreTraining

        self.golden = golden
        self.model = TFDebertaV2ForPreTraining.from_pretrained(golden.folder, rtd_lambda=golden.rtd_lambda)

    def step(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        """See `PairAdapter`."""
        import keras
        import tensorflow as tf

        model, rate = self.model, self.golden.generator_rate
        given: dict[str, Any] = dict(inputs)
        gradients: dict[str, Array] = {}
        outputs: dict[str, Any] = {}
        if rate is None:
            with tf.GradientTape(persistent=True) as tape:
                joint = model(given)
            outputs["loss"] = joint.loss
            gradients |= self._gradients("grad", tape, joint.loss)
        with tf.GradientTape(persistent=True) as tape:
            made = model.corrupt(**given)
        gradients |= self._gradients("grad_mlm", tape, made.mlm_loss)
        if rate is not None:
            variables = model.generator.trainable_variables
            steps = tape.gradient(made.mlm_loss, [variable.value for variable in variables])
            keras.optimizers.SGD(rate).apply(steps, variables)
        with tf.GradientTape(persistent=True) as tape:
            told = model.discriminate(made.corrupted_ids, given["attention_mask"], replaced=made.replaced)
            loss = model.rtd_lambda * told.rtd_loss
        gradients |= self._gradients("grad_rtd", tape, loss)
        outputs |= {**made._asdict(), **told._asdict()}
        return named_outputs({n: keras.ops.convert_to_numpy(v) for n, v in outputs.items()}, self._tables()), gradients

    def _gradients(self, kind: str, tape: Any, loss: Any) -> dict[str, Array]:
        import tensorflow as tf

        from deberta_tf.weights import parameter_variables

        deltas = DELTA_NAMES if self.golden.embedding_sharing == "gdes" else {}
        found = {}
        for part, stored in (("generator", {}), ("discriminator", deltas)):
            inner = getattr(self.model, part)
            variables, table = parameter_variables(inner), expand(inner.config, inner.task)
            values = tape.gradient(loss, [variable.value for variable in variables.values()])
            for name, value in zip(variables, values, strict=True):
                if value is not None:
                    array = table[name].kind.convert(tf.convert_to_tensor(value).numpy())
                    found[f"{kind}.{part}.{stored.get(name, name)}"] = np.asarray(array)
        return found

    def _tables(self) -> dict[str, Array]:
        from deberta_tf.weights import merged_arrays

        words, positions = DELTA_NAMES
        given, own = (merged_arrays(part) for part in (self.model.generator, self.model.discriminator))
        read = {"gdes": (given, own), "es": (given,), "none": (own,)}[self.golden.embedding_sharing]
        unread = self.model.unread_positions  # what training leaves as it is
        added = [] if unread is None else [unread.numpy()]
        shared = [] if self.golden.embedding_sharing == "none" else [given[positions]]
        return {words: np.sum([part[words] for part in read], axis=0), positions: np.sum([*shared, *added], axis=0)}


PAIRS: dict[str, type[PairAdapter]] = {adapter.name: adapter for adapter in (ReferencePair, TorchPair, KerasPair)}


def pair_goldens() -> Iterator[Any]:
    """A pytest parameter for each golden folder of a pair."""
    import pytest

    for root in (OWN, PRETRAINING):
        for file in sorted(root.glob("*/case.json")):
            case = json.loads(file.read_text(encoding="utf-8"))
            if case["head"] == HEAD:
                golden = PairGolden(
                    file.parent, case["embedding_sharing"], case["rtd_lambda"], case.get("generator_sgd_rate")
                )
                yield pytest.param(golden, id=f"{root.parent.name}-{file.parent.name}")


def named_outputs(outputs: Mapping[str, Array], tables: Mapping[str, Array]) -> dict[str, Array]:
    """What a step computes, by the names of goldens."""
    renamed = {
        "generator_logits": "generator_logits_at_labels",
        "replaced": "discriminator_labels",
        "logits": "discriminator_logits",
    }
    found = {renamed.get(name, name): value for name, value in outputs.items()}
    for name, table in tables.items():
        found[f"discriminator_{name.split('.')[-2]}"] = table
    return found
