"""deberta_torch and deberta_tf are the same, file by file and name by name, but for a list of differences."""

import ast
from pathlib import PurePosixPath

PREFIX = "TF"  # of public Keras classes
RENAMED = {"call": "forward"}  # what Keras and PyTorch call the same method
# Parameters that one side's functions have and the other's do not, anywhere.
OWN_PARAMETERS = {
    "training": "a PyTorch module holds the mode itself",
    "kwargs": "Keras' own options: name and dtype",
    "device": "Keras places tensors itself",
    "device_map": "the same",
    "choices": "Keras checks the named inputs before they are folded",
    "forgets": "torch.utils.checkpoint wraps a layer",
    "gradient_checkpointing_kwargs": "arguments of torch.utils.checkpoint",
    "attend": "Keras has one implementation of attention",
    "attn_implementation": "the same",
    "labels": "Keras' calling convention makes labels one of the named inputs",
    "labels_at_padding": "the same",
    "options": "labels_at_padding is one of them, out of the sight of Trainer",
    "labelled_logits_only": "as options",
    "random": "a Keras model has its own seeds",
    "state_dict": "several processes gather one; Keras' variables are whole",
    "is_main_process": "the same",
}

ONLY_TORCH: dict[str, str] = {
    "kernels": "what is only speed: TensorFlow calls oneDNN itself, XLA fuses, and Keras has one attention",
    "inference": "packed weights and texts without padding; XLA packs, and wants static shapes",
    "attention.py DisentangledSelfAttention.fused_content": "for packed weights",
    **dict.fromkeys(
        [
            f"{name}.{part}"
            for name in (
                "attention.py DisentangledSelfAttention",
                "projections.py FusedSelfAttention",
                "projections.py SeparateSelfAttention",
            )
            for part in ("content_parts", "position_layers")
        ],
        "for products that are made at once",
    ),
    "encoder.py Encoder.relative_table": "the same",
    "encoder.py PackedLayers": "the same",
    "encoder.py PackedLayers.decode": "the same",
    "encoder.py PackedLayers.embed_and_encode": "the same",
    "encoder.py is_plain_cpu_call": "the same",
    "encoder.py convolve_by_products": "cuDNN rounds convolutions to TF32; XLA is told the precision",
    "encoder.py checkpoint_arguments": "of torch.utils.checkpoint; Keras' own checkpoints take none",
    "plans.py": "texts without padding on a device; XLA wants static shapes",
    "masks.py Unpadded": "the same",
    "masks.py Unpadded.of": "the same",
    "masks.py Unpadded.put_back": "the same",
    "masks.py Unpadded.take": "the same",
    "checks.py asserting_on_devices": "Keras checks no values on devices, and places tensors itself",
    "checks.py assert_values": "the same",
    "bridge.py": "transformers 5 has no Keras models",
    "device_map.py": "keras.distribution places variables",
    "attention.py DisentangledSelfAttention.position_rows": "for blocks of queries",
    "attention.py eager_attention": "one of several implementations of attention; Keras has this one",
    "encoder.py Encoder.reset_buffers": "the index table is a constant in Keras, a buffer here",
    "layers.py initialize": "Keras draws weights by initializers given to layers",
    "model_names.py": "what Trainer, accelerate and notebooks ask of PyTorch models",
    "models.py PreTrainedModel.attn_implementation": "one of several implementations of attention; Keras has one",
    "models.py PreTrainedModel.attn_implementation_used": "the same",
    "models.py PreTrainedModel.base_model": "PyTorch users' own classes have their backbone anywhere",
    "models.py PreTrainedModel.device": "Keras places variables itself",
    "models.py PreTrainedModel.dtype": "a Keras model has one already",
    "models.py PreTrainedModel.reset_parameters": "Keras draws weights by initializers given to layers",
    "models.py PreTrainedModel.set_attn_implementation": "as attn_implementation",
    "pretraining.py DisentangledEmbedding": "Keras' embeddings have a function that looks up both tables",
    "pretraining.py DisentangledEmbedding.forward": "the same",
    "pretraining.py DisentangledEmbedding.weight": "the same",
    "outputs.py": "a saved torch.export program names its output classes",
    "surgery.py Resizable.get_position_embeddings": "asked of PyTorch models only",
    "surgery.py Resizable.set_output_embeddings": "as set_input_embeddings",
    "surgery.py Resizable.set_input_embeddings": "a Keras variable has its layer's path; assign to it instead",
    "surgery.py Resizable.tie_weights": "transformers' Keras models have none either",
    "task_models.py CallOptions": "as labels_at_padding",
    "task_models.py LmCallOptions": "the same",
    "task_models.py LmModel.loss": "a Keras model has a loss of its own",
    "task_models.py TaskModel.loss": "the same",
    "weights.py held": "as state_dict",
    "weights.py to_numpy": "bfloat16 needs a detour here; keras.ops.convert_to_numpy knows it",
    "weights.py to_torch": "bfloat16 needs a detour here; a Keras variable takes NumPy arrays",
}
ONLY_KERAS: dict[str, str] = {
    "attention.py position_products": "in kernels/skew.py in PyTorch",
    "attention.py skew": "the same",
    "calls.py": "Keras models take a tensor, a list, a dict or keywords",
    "checkpointing.py": "torch.utils.checkpoint in PyTorch",
    "class_weights.py": "an argument of fit",
    "distribution.py": "replicas under fit; DistributedDataParallel averages gradients itself in PyTorch",
    "checks.py check_fit_labels": "labels of fit, which traces",
    "checks.py is_jax_traced": "Keras' own backends",
    "data.py": "what fit, evaluate and predict are given",
    "embeddings.py Embeddings.output_shape": "Keras' summary shows it",
    "encoder.py Encoder.output_shape": "the same",
    "export.py": "SavedModel; torch.export needs nothing of ours",
    "losses.py label_shape": "shapes of graphs, where the last axis is known and the first is not",
    "sift.py SiFT.fit": "Keras' loop; in PyTorch it is one's own",
    "heads.py ContextPooler.output_shape": "Keras' summary shows it",
    "heads.py ReplacedTokenHead.output_shape": "the same",
    "heads.py Scope.output_shape": "the same",
    "inputs.py": "Keras models take a tensor, a list, a dict or keywords",
    "optimizer.py": "AdamW with a rate for each parameter, and as PyTorch computes it",
    "lora.py": "PEFT does it in PyTorch",
    "layers.py NormalExceptRow": "the padding row, which nn.Embedding knows",
    "layers.py NormalExceptRow.get_config": "Keras saves initializers",
    "layers.py dense": "Keras layers take name, initializer and dtype one by one",
    "layers.py dropout": "the same",
    "layers.py embedding": "the same",
    "layers.py keep_where": "Tensor.masked_fill in PyTorch",
    "layers.py layer_norm": "as dense",
    "layers.py normal": "as dense",
    "layers.py put_tokens": "an index in PyTorch",
    "layers.py take_tokens": "the same",
    "losses.py labelled_tokens": "the same",
    "models.py Backbone.output_shape": "Keras' summary shows it",
    "models.py PreTrainedModel.check": "called before Keras sees the inputs",
    "pretraining.py PreTrainingModel.check": "the same",
    "pretraining.py PreTrainingModel.from_config": "Keras saves models by their configuration",
    "pretraining.py PreTrainingModel.get_config": "the same",
    "pretraining.py PreTrainingModel.label_names": "Keras models take a tensor, a list, a dict or keywords",
    "pretraining.py PreTrainingModel.spec": "the same",
    "models.py PreTrainedModel.export": "SavedModel; torch.export needs nothing of ours",
    "models.py PreTrainedModel.from_config": "Keras saves models by their configuration",
    "models.py PreTrainedModel.get_config": "the same",
    "heads.py Scope": "nn.ModuleDict in PyTorch: a module for its name",
    "heads.py Scope.forward": "the same",
    "preprocessing.py": "texts for fit, evaluate and predict",
    "quantization.py": "Keras' own; optimize(model, dtype='int8') in PyTorch",
    "training.py": "fit, evaluate and predict",
    "weights.py layers_by_parameter": "PEFT does it in PyTorch",
    "weights.py alpha_of": "the same",
    "weights.py lora_factors": "the same",
    "weights.py merged_arrays": "the same",
    "weights.py parameter_variables": "named_parameters in PyTorch",
    "weights.py published_config": "made where it is saved in PyTorch",
}
# Keras' `build` makes a layer's variables, wherever it has sublayers; PyTorch has no such step.
BUILD = "build"


def public_names(source: str) -> dict[str, list[str]]:
    """Public classes, methods and functions in order, in PyTorch's spelling, with the parameters of functions."""
    names: dict[str, list[str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            names[node.name] = parameters(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            owner = node.name.removeprefix(PREFIX)
            names[owner] = []
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and method.name != BUILD:
                    names[f"{owner}.{RENAMED.get(method.name, method.name)}"] = parameters(method)
    return names


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument.arg for argument in given if argument is not None and argument.arg not in OWN_PARAMETERS]


def sources(library_files: dict[str, str], package: str) -> dict[str, str]:
    """By path inside the package."""
    return {
        str(PurePosixPath(file).relative_to(package)): source
        for file, source in library_files.items()
        if file.startswith(f"{package}/")
    }


def names_of(library_files: dict[str, str], package: str) -> dict[str, list[str]]:
    """File names, and `file.py Name` of everything public, to parameters; a folder is one name."""
    found: dict[str, list[str]] = {}
    for file, source in sources(library_files, package).items():
        if "/" in file:
            found[file.split("/")[0]] = []
            continue
        found[file] = []
        found |= {f"{file} {name}": given for name, given in public_names(source).items()}
    return found


def without_own_files(names: set[str], allowed: dict[str, str]) -> set[str]:
    """The contents of a file that is allowed need no entries of their own."""
    return {name for name in names if " " not in name or name.split()[0] not in allowed}


def test_same_names(library_files):
    torch_names = set(names_of(library_files, "deberta_torch"))
    keras_names = set(names_of(library_files, "deberta_tf"))
    only_torch = without_own_files(torch_names - keras_names, ONLY_TORCH)
    only_keras = without_own_files(keras_names - torch_names, ONLY_KERAS)
    assert only_torch == set(ONLY_TORCH)
    assert only_keras == set(ONLY_KERAS)


def test_every_difference_has_a_reason():
    assert all({**ONLY_TORCH, **ONLY_KERAS, **OWN_PARAMETERS}.values())


def test_same_order(library_files):
    torch_names, keras_names = (list(names_of(library_files, package)) for package in ("deberta_torch", "deberta_tf"))
    common = set(torch_names) & set(keras_names)
    assert [name for name in torch_names if name in common] == [name for name in keras_names if name in common]


def test_same_parameters(library_files):
    torch_names, keras_names = (names_of(library_files, package) for package in ("deberta_torch", "deberta_tf"))
    wrong = {
        name: (given, keras_names[name])
        for name, given in torch_names.items()
        if name in keras_names and given != keras_names[name]
    }
    assert not wrong


# The bridge, checks on devices, and `inference`.
ONLY_PUBLIC_IN_TORCH = {"as_transformers", "asserting_on_devices", "changing_weights", "optimize", "restore"}
ONLY_PUBLIC_IN_KERAS = {"TextPreprocessor"}  # texts for fit, evaluate and predict


def test_public_classes_are_the_same():
    import pytest

    torch_package, keras_package = pytest.importorskip("deberta_torch"), pytest.importorskip("deberta_tf")
    torch_names = set(torch_package.__all__) - ONLY_PUBLIC_IN_TORCH
    keras_names = set(keras_package.__all__) - ONLY_PUBLIC_IN_KERAS
    assert sorted(torch_names) == sorted(name.removeprefix(PREFIX) for name in keras_names)
