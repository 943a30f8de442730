"""Classes that no model was trained for: each makes a hypothesis, of which a model says whether the text entails it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deberta_core.errors import InputError
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_flag, read_names, read_texts
from deberta_dual.pipelines.scores import best, softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotOptions:
    """What can be chosen.

    Args:
        candidate_labels: the classes: a list of texts, or one text with commas; must be given here or in the call.
        hypothesis_template: what is said of a text, with {} for the class.
        multi_label: whether several classes can be true, so that each is judged by itself; a single one always is.
    """

    candidate_labels: Any = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        check_flag("multi_label", self.multi_label)
        if self.candidate_labels is not None:
            object.__setattr__(self, "candidate_labels", read_names("candidate_labels", self.candidate_labels))
        template = self.hypothesis_template
        if not isinstance(template, str) or template.count("{}") != 1:
            raise InputError(f"hypothesis_template={template!r} must hold {{}} once, where the class goes.")


class ZeroShotClassificationPipeline(Pipeline):
    """Inputs: a text. Results: {"sequence", "labels", "scores"}, the best class first.

    Needs a classifier with a class whose name begins with "entail"; to judge classes by themselves, one also that
    begins with "contradict", or two classes only.
    """

    name = "zero-shot-classification"
    task = "sequence_classification"
    options_class = ZeroShotOptions

    def check_model(self, options: ZeroShotOptions) -> None:
        """Raises InputError if the class for entailment, or contradiction where it is needed, is not known."""
        self._class_of("entail")
        if options.multi_label or len(options.candidate_labels or ()) == 1:
            self._contradiction()

    def prepare(self, example: Any, options: ZeroShotOptions) -> Prepared:
        """Makes a row for each class: the text, and the hypothesis."""
        text = read_texts(example, ["text"])["text"]
        if options.candidate_labels is None:
            raise InputError('candidate_labels is missing. Give the classes, such as candidate_labels=["sports"].')
        hypotheses = [options.hypothesis_template.replace("{}", label) for label in options.candidate_labels]
        return Prepared([ModelRow(self.tokenize(text, hypothesis)) for hypothesis in hypotheses], text)

    def finish(self, prepared: Prepared, options: ZeroShotOptions) -> Any:
        """Scores the classes."""
        logits = np.stack([value["logits"] for value in prepared.values])  # [classes, N]
        entailment = self._class_of("entail")
        if options.multi_label or len(logits) == 1:
            scores = softmax(logits[:, [self._contradiction(), entailment]])[:, 1]
        else:
            scores = softmax(logits[:, entailment])
        order = best(scores, None)
        return {
            "sequence": prepared.texts,
            "labels": [options.candidate_labels[number] for number in order],
            "scores": [float(scores[number]) for number in order],
        }

    def _class_of(self, beginning: str) -> int:
        labels = self.model.config.id2label or {}
        found = [number for number, label in labels.items() if label.lower().startswith(beginning)]
        if len(found) != 1:
            raise InputError(
                f"{self.name} needs a class whose name begins with {beginning!r}; the model has "
                f"{', '.join(labels.values())}. Use a model for natural language inference, or name its classes in "
                f"id2label of config.json."
            )
        return found[0]

    def _contradiction(self) -> int:
        return 1 - self._class_of("entail") if self.model.config.num_labels == 2 else self._class_of("contradict")
