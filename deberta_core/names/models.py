"""Names of transformers at models."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

_NOTHING = "Trainer, accelerate or peft ask for it"

# Attributes and methods.
MODEL_ATTRIBUTES: Rows = {
    "num_labels": Renamed("config.num_labels"),
    "name_or_path": Renamed("config.name_or_path"),
    "vocab_size": Renamed("config.vocab_size"),
    "is_activation_checkpointing": Renamed("is_gradient_checkpointing"),
    "base_model_prefix": Accepted("the backbone of a task model", reads_as="deberta"),
    "main_input_name": Accepted("the first argument of a call", reads_as="input_ids"),
    "supports_gradient_checkpointing": Accepted("every model does", reads_as=True),
    "accepts_loss_kwargs": Accepted("the loss is the mean of its batch", reads_as=False),
    "framework": Accepted(_NOTHING, reads_as="pt"),
    "is_parallelizable": Accepted(_NOTHING, reads_as=False),
    "model_parallel": Accepted(_NOTHING, reads_as=False),
    "is_quantized": Accepted(_NOTHING, reads_as=False),
    "hf_quantizer": Accepted(_NOTHING),
    "model_tags": Accepted(_NOTHING),
    "generation_config": Accepted("there is no generation"),
    "_keys_to_ignore_on_save": Accepted(_NOTHING),
    "_no_split_modules": Accepted(_NOTHING, reads_as=("Embeddings", "Layer", "Convolution")),
    "_hf_peft_config_loaded": Accepted(_NOTHING, reads_as=False),
    "push_to_hub": Refused("Save the model and upload the folder with huggingface_hub."),
    "add_adapter": Refused("Call peft.get_peft_model(model, config)."),
    "load_adapter": Refused("Call peft.PeftModel.from_pretrained(model, folder)."),
    "to_bettertransformer": Refused("Call deberta_torch.optimize(model)."),
    "get_head_mask": Refused("A mask of heads is not taken; prune_heads takes heads out."),
}
