"""What is measured where: environments, and the libraries in them, each in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

# Environment -> what it is, and the distributions whose versions are told. Pins are in `requirements/`.
ENVIRONMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ours": ("this library", ("torch", "tensorflow-cpu", "keras", "numpy", "onnx", "onnxruntime", "openvino")),
    "transformers4": (
        "transformers 4 with PyTorch, TensorFlow, ONNX Runtime and OpenVINO",
        ("transformers", "torch", "tensorflow-cpu", "tf-keras", "onnxruntime", "openvino"),
    ),
    "transformers5": ("transformers 5 with PyTorch", ("transformers", "torch")),
    "keras-hub": ("keras-hub and ZeroModels", ("keras-hub", "zeromodels", "keras", "tensorflow-cpu")),
}


@dataclass(frozen=True)
class Library:
    """A library that computes in worker processes.

    Attributes:
        environment: a name of `ENVIRONMENTS`.
        module: the file in `workers/` that knows how to use it.
        variables: what its process has in its environment beyond what all have.
    """

    environment: str
    module: str
    variables: dict[str, str] = field(default_factory=dict)


# Without USE_TF=0, transformers' PyTorch classes load TensorFlow, too, which costs memory and threads.
_NO_TENSORFLOW = {"USE_TF": "0"}
LIBRARIES: dict[str, Library] = {
    "transformers4": Library("transformers4", "transformers_torch", _NO_TENSORFLOW),
    "transformers5": Library("transformers5", "transformers_torch", _NO_TENSORFLOW),
    "runtimes": Library("transformers4", "runtimes", _NO_TENSORFLOW),
    "transformers-keras": Library("transformers4", "transformers_keras", {"TF_USE_LEGACY_KERAS": "1"}),
    "keras-hub": Library("keras-hub", "keras_hub_models"),
    "zeromodels": Library("keras-hub", "zeromodels_models"),
    "ours-torch": Library("ours", "ours_torch"),
    "ours-keras": Library("ours", "ours_keras"),
    "ours-graphs": Library("ours", "ours_graphs"),
    "ours-rows": Library("ours", "ours_rows"),
    "limit": Library("ours", "linear_limit"),
}
SHARED_VARIABLES = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Subject:
    """One way to compute something; a line of a table.

    Attributes:
        name: as in the tables.
        library: a name of `LIBRARIES`.
        build: a name in `SUBJECTS` of the library's module.
        options: what its builder gets beside the cell's settings.
        emulated_tokens: of what computes in bfloat16, how many tokens to measure at most on a processor without
            instructions for it, which emulates them tens of times slower; None for what does not.
    """

    name: str
    library: str
    build: str
    options: dict[str, object] = field(default_factory=dict)
    emulated_tokens: int | None = None

    @property
    def environment(self) -> str:
        """Where it runs."""
        return LIBRARIES[self.library].environment
