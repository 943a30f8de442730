"""Folders that hold something else than a whole model, told by their files: what each is, and what to do."""

from __future__ import annotations

from pathlib import Path

_ONNX = "holds ONNX only. Run it with onnxruntime, or take the model it was exported from."
_WEIGHTS_ALONE = (
    "holds weights without a configuration, as trainers save a model of ours. Write it beside them with "
    "model.config.save_pretrained(folder), or give the model's from_pretrained a config."
)
_OWN_NAME = "holds weights under a name of their own. Give that file itself, with its config.json beside it."
# A file, as a pattern -> what a folder is that has it and no model of ours; the first fits.
KINDS: dict[str, str] = {
    "adapter_config.json": "is a PEFT adapter, not a model. Load the model it was trained on and attach it with "
    "peft.PeftModel.from_pretrained(model, folder), or merge it there (merge_and_unload) and save the whole.",
    "gliner_config.json": "is a GLiNER model, whose encoder is a DeBERTa. Load it with GLiNER.from_pretrained of the "
    "package gliner.",
    "0_Transformer/config.json": "is an older folder of sentence-transformers. Give its folder 0_Transformer.",
    "checkpoint-*/config.json": "is where a Trainer wrote its checkpoints. Give one of its folders.",
    "openvino_model.xml": "holds OpenVINO only. Run it with openvino, or take the model it was made from.",
    "flax_model.msgpack": "holds Flax only. Load it with transformers 4 (from_flax=True) and save that.",
    "rust_model.ot": "holds the format of rust-bert only. Take the model it was made from.",
    **dict.fromkeys(("model.onnx", "onnx/model.onnx", "*.onnx", "onnx/*.onnx"), _ONNX),
    "*.gguf": "holds GGUF, the format of llama.cpp. Take the model it was made from.",
    **dict.fromkeys(("model*.safetensors", "pytorch_model*.bin"), _WEIGHTS_ALONE),
    **dict.fromkeys(("*.ckpt", "*.safetensors", "*.pth", "*.pt", "*.bin"), _OWN_NAME),
}
# Those that a hub can be asked for.
MARKS = tuple(name for name in KINDS if "*" not in name)
# No weights, whatever their ending: of trainers and of tokenizers.
_NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state", "bpe_encoder")


def describe_folder(folder: Path) -> str | None:
    """What a folder is that lacks the files of a model, in sentences; None where nothing tells."""
    for pattern, kind in KINDS.items():
        found = [file for file in sorted(folder.glob(pattern)) if not file.name.startswith(_NO_WEIGHTS)]
        if found:
            return f"{folder} {kind} It has {found[0].relative_to(folder)}."
    return None
