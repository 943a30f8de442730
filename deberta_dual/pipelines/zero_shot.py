"""Classes that no model was trained for: each makes a hypothesis, of which a model says whether the text entails it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from deberta_core.errors import DebertaWarning, InputError, WrongType
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_flag, read_names, read_texts
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.scores import best, softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotOptions(TextOptions):
    """What can be chosen.

    Args:
        candidate_labels: the classes: a list of texts, or one text with commas; must be given here or in the call.
        hypothesis_template: what is said of a text, with {} for the class.
        multi_label: whether several classes can be true, so that each is judged by itself; a single one always is.
    """

    candidate_labels: Any = ()
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        check_flag("multi_label", self.multi_label)
        if self.candidate_labels != ():
            object.__setattr__(self, "candidate_labels", read_names("candidate_labels", self.candidate_labels))
        template = self.hypothesis_template
        if not isinstance(template, str):
            raise WrongType(f"hypothesis_template={template!r:.60} is no text. Give one that holds {{}} once.")
        if template.count("{}") != 1:
            raise InputError(f"hypothesis_template={template!r} must hold {{}} once, where the class goes.")


class ZeroShotClassificationPipeline(Pipeline):
    """Inputs: a text. Results: {"sequence", "labels", "scores"}, the best class first.

    Asks a classifier for the class whose name begins with "entail", or else, with a warning, the last one; and, to
    judge classes by themselves, for the one that begins with "contr", or else, of two, the other. A text that is too
    long is cut, a hypothesis is not.
    """

    task = "zero-shot-classification"
    model_task = "sequence_classification"
    options_class = ZeroShotOptions
    in_rows = True
    _warned_of_classes = False
    cuts = "only_first"

    def __call__(
        self, inputs: Any = None, candidate_labels: Any = (), *, progress: bool | None = None, **options: Any
    ) -> Any:
        """Answers one text, or many, also given as `sequences`; see `Pipeline.__call__`."""
        inputs = options.pop("sequences", inputs)
        if candidate_labels != ():
            options["candidate_labels"] = candidate_labels
        return super().__call__(inputs, progress=progress, **options)

    @property
    def entailment_id(self) -> int:
        """The number of the class for entailment; -1 where no class is called so."""
        return self._class_of("entail")

    def check_model(self, options: ZeroShotOptions) -> None:
        """Raises InputError if the classes that are needed are not there; warns if none is called entailment."""
        super().check_model(options)
        labels = self.arrays.config.id2label or {}
        if len(labels) < 2:
            raise InputError(f"{self.task} needs a model for natural language inference, and this one has one class.")
        if self.entailment_id < 0 and not self._warned_of_classes:
            self._warned_of_classes = True
            warnings.warn(
                f"The model's classes are {', '.join(labels.values())}; none begins with 'entail', and the last one is "
                f"taken. Name the classes in id2label of config.json.",
                DebertaWarning,
                stacklevel=3,
            )

        if options.multi_label or len(options.candidate_labels) == 1:
            self._contradiction()

    def prepare(self, example: Any, options: ZeroShotOptions) -> Prepared:
        """Makes a row for each class: the text, and the hypothesis."""
        text = read_texts(example, ["text"])["text"]
        if not options.candidate_labels:
            raise InputError('candidate_labels is missing. Give the classes, such as candidate_labels=["sports"].')
        hypotheses = [options.hypothesis_template.replace("{}", label) for label in options.candidate_labels]
        return Prepared([ModelRow(self.tokenize(text, hypothesis, options)) for hypothesis in hypotheses], text)

    def finish(self, prepared: Prepared, options: ZeroShotOptions) -> Any:
        """Scores the classes."""
        logits = np.stack([value["logits"] for value in prepared.values])  # [classes, N]
        entailment = self.entailment_id
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

    def _contradiction(self) -> int:
        """The number of the class for contradiction; of a model whose classes have no such names, the first."""
        labels = self.arrays.config.id2label or {}
        entailment, found = self.entailment_id, self._class_of("contr")
        if found < 0 <= entailment and len(labels) != 2:
            raise InputError(
                f"{self.task} needs a class whose name begins with 'contr' to judge classes by themselves; the model "
                f"has {', '.join(labels.values())}. Name its classes in id2label of config.json."
            )
        return found if found >= 0 else int(entailment == 0)

    def _class_of(self, beginning: str) -> int:
        """The first class whose name begins so; -1 if there is none."""
        labels = self.arrays.config.id2label or {}
        return next((number for number, label in labels.items() if label.lower().startswith(beginning)), -1)
