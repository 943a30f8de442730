"""Names of transformers, and of sentence-transformers' cross-encoders, at pipelines."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

_NO_IMAGES = Accepted("models of text have none")
_PADDED = Accepted("a batch is padded to its longest row, which changes no result")
_WINDOWS = Accepted("what is too long is read in windows")

# Names of tasks.
PIPELINE_TASKS: Rows = {
    "ner": Renamed("token-classification"),
    "sentiment-analysis": Renamed("text-classification"),
    "zero-shot": Renamed("zero-shot-classification"),
}
# Arguments of `pipeline` and of the classes of pipelines.
PIPELINE_OPTIONS: Rows = {
    "framework": Renamed("framework", {"pt": "torch"}),
    "torch_dtype": Renamed("dtype"),
    "use_auth_token": Renamed("token"),
    "use_fast": Accepted("both classes of tokenizers give the same ids"),
    "trust_remote_code": Accepted("no code of a repository is run"),
    "task": Accepted("the class is the task's"),
    "binary_output": Accepted("results are Python objects"),
    "feature_extractor": _NO_IMAGES,
    "image_processor": _NO_IMAGES,
    "processor": _NO_IMAGES,
    "modelcard": _NO_IMAGES,
    "config": Refused("Load the model with it, and give the model and its tokenizer."),
}
# Options of every task, of a pipeline or a call.
PIPELINE_CALL: Rows = {
    "num_workers": Accepted("texts are tokenized where they are read"),
}
# Options of single tasks, by their names.
TASK_OPTIONS: dict[str, Rows] = {
    "text-classification": {
        "return_all_scores": Renamed("top_k", {True: "all", False: "best"}),
        "padding": _PADDED,
    },
    "zero-shot-classification": {"multi_class": Renamed("multi_label"), "padding": _PADDED},
    "token-classification": {
        "grouped_entities": Renamed("aggregation_strategy", {True: "simple", False: "none"}),
        "truncation": _WINDOWS,
        "padding": _PADDED,
    },
    "question-answering": {"topk": Renamed("top_k"), "padding": _PADDED, "truncation": _WINDOWS},
    "fill-mask": {"tokenize_kwargs": Renamed("tokenizer_kwargs")},
    "feature-extraction": {"tokenizer_kwargs": Renamed("tokenize_kwargs")},
    "sentence-embeddings": {
        "padding": _PADDED,
        "normalize_embeddings": Renamed("normalize"),
    },
}
# Options of `predict` and `rank` of text classification.
CROSS_ENCODER_OPTIONS: Rows = {
    "show_progress_bar": Renamed("progress"),
    "apply_softmax": Renamed("function_to_apply", {True: "softmax", False: None}),
    "convert_to_numpy": Accepted("scores are a NumPy array"),
    "convert_to_tensor": Refused("Give the array to torch.from_numpy."),
    "activation_fn": Refused('Use function_to_apply="sigmoid", "softmax" or "none".'),
    **PIPELINE_CALL,
}
