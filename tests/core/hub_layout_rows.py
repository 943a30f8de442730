"""The table of published layouts of folders: those that load, and those that are told what they are."""

from dataclasses import dataclass
from typing import Any

from tests.core.hub_layouts import (
    FC,
    NLI,
    SAVED_KEYS,
    SENTENCE_FILES,
    V2_KEYS,
    V3_KEYS,
    Layout,
    chinese,
    gliner_encoder,
    lightning,
    microsoft,
    notebook,
    old_sentence_transformers,
    pretraining,
    saved,
    setfit,
    v1_base,
)

CLASSES = "sequence_classification"
LAYOUTS = {
    layout.like: layout
    for layout in (
        Layout("microsoft/deberta-base", v1_base, "masked_lm", dropped=("deberta.embeddings.position_",)),
        Layout(
            "microsoft/deberta-v2-xlarge: pytorch_model.bin",
            pretraining(V2_KEYS),
            "masked_lm",
            dropped=("mask_predictions.", "deberta.embeddings.position_"),
        ),
        Layout(
            "microsoft/deberta-v3-base, -large, mdeberta-v3-base: pytorch_model.bin",
            pretraining(V3_KEYS),
            "masked_lm",
            dropped=("mask_predictions.", "deberta.embeddings.position_"),
        ),
        Layout(
            "MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli",
            saved(SAVED_KEYS | NLI, CLASSES, files={"added_tokens.json": {"[MASK]": 500}}),
            CLASSES,
        ),
        Layout(
            "cross-encoder/nli-deberta-v3-base",
            saved(
                SAVED_KEYS
                | NLI
                | {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0"}},
                CLASSES,
                files={"CECorrelationEvaluator_sts_results.csv": b"epoch,steps\n", "pytorch_model.bin": b"not read"},
            ),
            CLASSES,
        ),
        Layout(
            "protectai/deberta-v3-base-prompt-injection-v2: onnx beside the weights",
            saved(
                SAVED_KEYS | {"id2label": {"0": "SAFE", "1": "INJECTION"}, "label2id": {"SAFE": 0, "INJECTION": 1}},
                CLASSES,
                files={"onnx/model.onnx": b"onnx", "training_args.bin": b"not read"},
            ),
            CLASSES,
        ),
        Layout("sentence-transformers: weights at the root", saved(SAVED_KEYS, None, files=SENTENCE_FILES)),
        Layout("sentence-transformers 2: 0_Transformer", old_sentence_transformers, path="0_Transformer"),
        Layout("SetFit: model_head.pkl beside the body", setfit),
        Layout(
            "GLiNER: pytorch_model.bin with a config.json of the encoder",
            gliner_encoder,
            prefix="token_rep_layer.bert_layer.model.",
            dropped=("span_rep_layer.",),
            has_tokenizer=False,
        ),
        Layout(
            "several files, pytorch_model-00001-of-0000N.bin",
            saved(SAVED_KEYS, None, "bin", max_shard_size=2000),
        ),
        Layout("several files, model-00001-of-0000N.safetensors", saved(SAVED_KEYS, None, max_shard_size=2000)),
        Layout(
            "TensorFlow alone: tf_model.h5",
            saved(SAVED_KEYS | NLI, CLASSES, "h5"),
            CLASSES,
        ),
        Layout("IDEA-CCNL/Erlangshen-DeBERTa-v2-97M-Chinese", chinese, "masked_lm", has_tokenizer=False),
        Layout("Microsoft's own code: model_config.json, pytorch.model-003000.bin", microsoft, CLASSES),
        Layout(
            "Lightning: .ckpt",
            lightning,
            CLASSES,
            path="epoch=3-step=100.ckpt",
            prefix="state_dict.model.",
            dropped=("loss.weight", "classifier.weight"),
            has_tokenizer=False,
        ),
        Layout(
            "Kaggle: {'model': state_dict} of a module with self.model and self.fc",
            notebook("model.", "microsoft-deberta-v3-base_fold0_best.pth", "model", **FC),
            path="microsoft-deberta-v3-base_fold0_best.pth",
            prefix="model.model.",
            dropped=("fc.weight",),
            has_tokenizer=False,
        ),
        Layout(
            "Kaggle: a state_dict of self.backbone",
            notebook("backbone.", "model.pt", **FC),
            path="model.pt",
            prefix="backbone.",
            dropped=("fc.weight",),
            has_tokenizer=False,
        ),
        Layout(
            "torch.compile in DistributedDataParallel",
            notebook("module._orig_mod.", "model.pth", "model_state_dict"),
            path="model.pth",
            prefix="model_state_dict.module._orig_mod.",
            has_tokenizer=False,
        ),
    )
}


@dataclass(frozen=True)
class Foreign:
    """Files of a folder that is no model of ours, and what is said of it."""

    files: dict[str, Any]
    message: str


ADAPTER = {"adapter_config.json": {"peft_type": "LORA"}, "adapter_model.safetensors": b"lora"}
FOREIGN = {
    "PEFT": Foreign(ADAPTER, r"is a PEFT adapter, not a model\. Load the model .*PeftModel"),
    "PEFT with the config of its model": Foreign(
        ADAPTER | {"config.json": SAVED_KEYS}, "is a PEFT adapter, not a model"
    ),
    "GLiNER": Foreign({"gliner_config.json": {}, "pytorch_model.bin": b""}, "is a GLiNER model"),
    "ONNX": Foreign({"config.json": SAVED_KEYS, "onnx/model.onnx": b""}, r"holds ONNX only\. Run it with onnxruntime"),
    "ONNX, quantised": Foreign({"config.json": SAVED_KEYS, "model_quantized.onnx": b""}, "holds ONNX only"),
    "GGUF": Foreign({"config.json": SAVED_KEYS, "deberta.Q8_0.gguf": b""}, r"holds GGUF, the format of llama\.cpp"),
    "OpenVINO": Foreign({"config.json": SAVED_KEYS, "openvino_model.xml": b""}, "holds OpenVINO only"),
    "Flax": Foreign({"config.json": SAVED_KEYS, "flax_model.msgpack": b""}, "holds Flax only"),
    "rust-bert": Foreign({"config.json": SAVED_KEYS, "rust_model.ot": b""}, "holds the format of rust-bert only"),
    "sentence-transformers 2": Foreign(
        {"modules.json": [], "0_Transformer/config.json": SAVED_KEYS},
        r"older folder of .*\. Give its folder 0_Transformer",
    ),
    "Trainer": Foreign({"checkpoint-500/config.json": SAVED_KEYS}, r"Give one of its folders\. It has checkpoint-500"),
    "Trainer, of a model that is not transformers'": Foreign(
        {"model.safetensors": b"", "training_args.bin": b""}, r"without a configuration.*model\.config\.save_pretrained"
    ),
    "Lightning": Foreign({"config.json": SAVED_KEYS, "last.ckpt": b""}, r"Give that file itself.* It has last\.ckpt"),
    "Kaggle": Foreign({"config.json": SAVED_KEYS, "fold0.pth": b""}, r"Give that file itself.* It has fold0\.pth"),
    "a tokenizer": Foreign({"config.json": SAVED_KEYS, "spm.model": b""}, "Looked for: model.safe"),
    "Microsoft's, several steps": Foreign(
        {"model_config.json": V3_KEYS, "pytorch.model-1.bin": b"", "pytorch.model-2.bin": b""}, "Give that file itself"
    ),
    "nothing": Foreign({}, r"config\.json does not exist"),
}
