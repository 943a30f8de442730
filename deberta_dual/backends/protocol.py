"""What an application asks of a framework: to load a model, to run it on arrays, to train it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.explanations import Attributions, ScoreParts

if TYPE_CHECKING:
    from deberta_dual.finetuning.run import Run
    from deberta_dual.pretraining.run import PretrainingRun

Arrays = dict[str, NDArray[Any]]
TEACHER_LOGITS = "teacher_logits"  # of a batch to learn from: what another model says of it, [B, N]


@dataclass(frozen=True, slots=True)
class ArrayModel:  # D16
    """A model in evaluation mode, as a function from named arrays to named arrays.

    Attributes:
        config: the configuration.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone.
        run: takes a batch, `input_ids`, `attention_mask` and `token_type_ids` `[B, L]` (`[B, N, L]` where the task
            folds choices) of int64, and the places `[M, 2]`, row and token, at which alone the logits `[M, V]` of
            masked LM are wanted; None for all other tasks. Returns the model's outputs by name, in float32.
        compiles: whether a batch of a new shape costs a compilation, so that few shapes should be used.
    """

    config: BaseConfig
    task: str | None
    run: Callable[[Arrays, NDArray[Any] | None], Arrays]
    compiles: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """A loss of texts that are compared with each other, in the place of the model's own.

    Attributes:
        loss: a name of `COMPARISONS` in the frameworks' `comparison_losses`.
        pooling: a name of `deberta_core.comparisons.POOLINGS`, where it compares vectors; None: it compares scores.
    """

    loss: str
    pooling: str | None = None


class Backend(Protocol):
    """A framework, as a module of this package; importing it imports the framework."""

    def is_model(self, model: Any) -> bool:
        """Whether an object is a model of this framework's package, or wraps one."""

    def load_model(self, folder: Path, task: str | None, device: Any = None, dtype: Any = None, **options: Any) -> Any:
        """Loads a model for inference.

        Args:
            folder: a checkpoint folder.
            task: the task of the model; None for the backbone.
            device: where to, by the framework's name for it; as a number, an accelerator, or the CPU for -1 or where
                there is none; None is the best device there is.
            dtype: of the computation, by the framework's name for it; None is float32.
            **options: others of the framework's `from_pretrained`.

        Raises:
            InputError: an unknown device or dtype.
            ConfigError: see `from_pretrained`.
            WeightError: see `from_pretrained`.
        """

    def place_model(self, model: Any, device: Any) -> Any:
        """Moves a model object to a device, given as in `load_model`, if it cannot be run there as it is.

        Returns:
            the device where it computes; with None, where it is.

        Raises:
            InputError: the framework has no such device.
        """

    def tensor(self, array: NDArray[Any]) -> Any:
        """An array as the framework's own."""

    def array_model(self, model: Any, device: Any = None) -> ArrayModel:
        """A model object as a function of arrays; a call leaves the object's mode as it is.

        Args:
            model: of this framework.
            device: where it computes, if that is not where the model is.

        Raises:
            InputError: the framework has no such device.
        """

    def trainable_model(
        self, config: BaseConfig, task: str | None, folder: Path | None, dtype: str, device: Any = None
    ) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
        """Makes a model to be trained, with parameters in float32.

        Args:
            config: the model's configuration.
            task: its task; None for the backbone.
            folder: a checkpoint folder; None: nothing is loaded.
            dtype: of products: "float32", or "bfloat16" in mixed precision.
            device: where to; None is the best device there is.

        Returns:
            the model, the names of the parameters that the folder lacks, and of those that it has in another shape,
            which a warning has told.

        Raises:
            InputError: an unknown device.
            WeightError: see `from_pretrained`.
        """

    def set_parameters(self, model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Sets parameters of a model by their names, from arrays in PyTorch's layout."""

    def is_finite(self, model: Any) -> bool:
        """Whether all parameters of a model in training are finite."""

    def peak_memory(self, model: Any) -> int | None:
        """The most bytes of memory that the accelerator of a model used so far; None where it has none that tells."""

    def save_model(self, model: Any, folder: Path, adapter: Path | None = None) -> None:
        """Writes a model that is trained, with adapters merged, into a folder, as one file of safetensors.

        Args:
            model: of `trainable_model`.
            folder: where to.
            adapter: another folder, for the adapters by themselves, and the head, as PEFT has them; None: nowhere.
        """

    def train(self, model: Any, run: Run, device: Any = None) -> None:
        """Trains a model of `trainable_model` as a run says; it is in evaluation mode in the end.

        What a step does depends on the step, the seed and the weights alone, so that a run that goes on from a state
        ends as if it had not been interrupted.
        """


@dataclass(frozen=True, slots=True)
class PretrainingStart:
    """What pretraining starts from.

    Attributes:
        config: of the model, or of the discriminator.
        generator_config: of the generator; None for masked LM alone.
        folder: the checkpoint of the model, or of the discriminator; None: fresh weights.
        generator: the generator's folder or weight file; None: beside the discriminator, or made of it, as
            `finds_generator` says.
        finds_generator: whether there is a generator beside the discriminator.
        sharing: of the embeddings: "gdes", "es" or "none".
        rtd_weight: of the discriminator's loss.
        drawing: what replacements are drawn by: `special_ids`, `num_tokens`, `temperature`.
        seed: of what starts fresh.
        dtype: of products: "float32", or "bfloat16" in mixed precision.
    """

    config: BaseConfig
    generator_config: BaseConfig | None
    folder: Path | None
    generator: Path | None
    finds_generator: bool
    sharing: str
    rtd_weight: float
    drawing: Mapping[str, Any]
    seed: int
    dtype: str


@dataclass(frozen=True, slots=True)
class PretrainingModel:
    """Models in pretraining.

    Attributes:
        model: the masked-LM model, or generator and discriminator in one.
        generator: the masked-LM model.
        discriminator: None for masked LM alone.
    """

    model: Any
    generator: Any
    discriminator: Any

    def save(self, folder: Path) -> None:
        """Writes the model, or both as published pairs lie in a folder."""
        options = {"max_shard_size": None} if self.discriminator is None else {}
        self.model.save_pretrained(folder, format="safetensors", **options)


class PretrainingBackend(Protocol):
    """What pretraining asks of a framework, as a module of this package."""

    def pretraining_model(self, start: PretrainingStart, device: Any = None) -> PretrainingModel:
        """Makes the models, with parameters in float32; what the checkpoints lack starts fresh.

        Raises:
            ConfigError: the configurations do not fit.
            InputError: an unknown device.
            WeightError: see `from_pretrained`.
        """

    def peak_flops(self, models: PretrainingModel, dtype: str) -> float | None:
        """Operations a second of one large product where the models are; None where it cannot be measured."""

    def pretrain(self, models: PretrainingModel, run: PretrainingRun, device: Any = None) -> None:
        """Trains as a run says; a run that goes on from a state ends as if it had not been interrupted."""


class ExplainingBackend(Protocol):
    """What explanations ask of a framework, as a module of this package; arrays in, arrays out."""

    def score_parts(self, model: Any, layer: int, inputs: Arrays) -> ScoreParts:
        """See `score_parts` of the framework's module `explain`."""

    def integrated_gradients(
        self, model: Any, output: str, index: tuple[int, ...], inputs: Arrays, steps: int
    ) -> Attributions:
        """See `integrated_gradients` of the framework's module `explain`; `baseline_ids` is among the inputs."""
