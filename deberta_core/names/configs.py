"""Names of transformers at configurations."""

from __future__ import annotations

from deberta_core.names.loading import LOADING
from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

_KEPT = Accepted("kept in `extra` and written to config.json again")
_DTYPE = Accepted("it is an argument of the model's from_pretrained")
_NO_GENERATION = "there is no generation"

# Arguments of a configuration that are written down and read by nothing.
CONFIG_KEPT: Rows = dict.fromkeys(
    (
        "architectures",
        "bos_token_id",
        "eos_token_id",
        "sep_token_id",
        "mask_token_id",
        "finetuning_task",
        "task_specific_params",
        "tokenizer_class",
        "tie_word_embeddings",
        "gradient_checkpointing",
        "transformers_version",
        "pooling",
        "model_max_length",
    ),
    _KEPT,
)
# Other arguments of a configuration, also where it is loaded with changes.
CONFIG_OPTIONS: Rows = {
    "use_return_dict": Renamed("return_dict"),
    "pooler_hidden_size": Accepted("it is always hidden_size"),
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    "use_cache": Accepted(_NO_GENERATION),
    "is_decoder": Refused("DeBERTa is an encoder."),
    "is_encoder_decoder": Refused("DeBERTa is an encoder."),
    "add_cross_attention": Refused("DeBERTa is an encoder."),
    "torchscript": Refused("Use torch.export."),
    "chunk_size_feed_forward": Accepted("the feed-forward block runs as a whole"),
    "attn_implementation": Refused("Give it to the model's from_pretrained, or call set_attn_implementation."),
}
CONFIG_LOADING: Rows = {**LOADING, **CONFIG_OPTIONS}
# Attributes that are read.
CONFIG_ATTRIBUTES: Rows = {
    "use_return_dict": Renamed("return_dict"),
    "_name_or_path": Renamed("name_or_path"),
    "architectures": Accepted("None where config.json has none"),
    "bos_token_id": Accepted("None where config.json has none"),
    "eos_token_id": Accepted("None where config.json has none"),
    "sep_token_id": Accepted("None where config.json has none"),
    "transformers_version": Accepted("None where config.json has none"),
    "torch_dtype": Accepted("the model has a dtype"),
    "dtype": Accepted("the model has a dtype"),
    "sub_configs": Accepted("a DeBERTa is one model", reads_as={}),
    "is_decoder": Accepted(_NO_GENERATION, reads_as=False),
    "is_encoder_decoder": Accepted(_NO_GENERATION, reads_as=False),
    "use_cache": Accepted(_NO_GENERATION, reads_as=False),
    "add_cross_attention": Accepted(_NO_GENERATION, reads_as=False),
    "tie_word_embeddings": Accepted("the masked-LM decoder is tied", reads_as=True),
    "chunk_size_feed_forward": Accepted("the feed-forward block runs as a whole", reads_as=0),
    "update": Refused("Configurations do not change. Call replace(), which gives a new one."),
    "push_to_hub": Refused("Save it and upload the folder with huggingface_hub."),
}
# Attributes that others assign.
CONFIG_ASSIGNMENTS: Rows = {
    "use_cache": Accepted("Trainer sets it; there is no generation"),
    "bos_token_id": Accepted("Trainer sets the tokenizer's; no model reads it"),
    "eos_token_id": Accepted("Trainer sets the tokenizer's; no model reads it"),
    "_hf_peft_config_loaded": Accepted("peft sets it"),
}
