"""Names of transformers at tokenizers and what they return."""

from __future__ import annotations

from deberta_core.names.loading import LOADING
from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

_NO_CHAT = Refused("DeBERTa has no chat: make the text yourself, and call the tokenizer with it.")
_NO_DECODER = Refused("DeBERTa has no decoder: tokenize the targets by a call of their own.")
_NO_HUB = Refused("Save the tokenizer and upload the folder with huggingface_hub.")

# Arguments of constructors and `from_pretrained`; what a class itself takes is no matter of the table.
TOKENIZER_OPTIONS: Rows = {
    "pretrained_model_name_or_path": Renamed("folder"),
    "extra_special_tokens": Renamed("additional_special_tokens"),
    "max_len": Renamed("model_max_length"),
    "use_fast": Accepted("both classes give the same ids"),
    "from_slow": Accepted("both classes give the same ids"),
    "legacy": Accepted("there is one behaviour"),
    "verbose": Accepted("warnings go through the module warnings"),
    "trust_remote_code": Accepted("no code of a folder is run"),
    "keep_accents": Accepted("the vocabulary decides"),
    "do_lower_case": Accepted("v1 tells capital letters apart; v2's classes have this option"),
    "add_prefix_space": Accepted("SentencePiece starts with a space; v1's class has this option"),
    "add_bos_token": Accepted("a row starts with [CLS]"),
    "name_or_path": Accepted("the tokenizer knows where it was read from"),
    "tokenizer_class": Accepted("the class that loads decides"),
    "tokenizer_type": Accepted("the class that loads decides"),
    "special_tokens_map_file": Accepted("the file in the folder is read"),
    "chat_template": _NO_CHAT,
}
# Arguments of `from_pretrained` that are about where the files are from, and other names, so that they replace what the
# folder says; all others go to the constructor.
TOKENIZER_LOADING: Rows = {
    **{name: row for name, row in LOADING.items() if name not in TOKENIZER_OPTIONS},
    **{name: row for name, row in TOKENIZER_OPTIONS.items() if isinstance(row, Renamed)},
}
# Arguments of a call.
TOKENIZER_CALL: Rows = {
    "batch_text_or_text_pairs": Renamed("text"),
    "truncation_strategy": Renamed("truncation"),
    "pad_to_max_length": Renamed("padding", {True: "max_length"}),
    "prepend_batch_axis": Accepted("tensors always have the axis for rows"),
    "text_target": _NO_DECODER,
    "text_pair_target": _NO_DECODER,
}
# Attributes and methods.
TOKENIZER_ATTRIBUTES: Rows = {
    "batch_encode_plus": Renamed("__call__", note="a list of texts, or of pairs"),
    "extra_special_tokens": Renamed("additional_special_tokens"),
    "extra_special_tokens_ids": Renamed("additional_special_tokens_ids"),
    "max_len": Renamed("model_max_length"),
    "add_prefix_space": Accepted("SentencePiece starts with a space; it reads as it was given", reads_as=True),
    "init_inputs": Accepted("options are given by name", reads_as=()),
    "verbose": Accepted("warnings go through the module warnings", reads_as=True),
    "pad_token_type_id": Accepted("it is 0, as in every DeBERTa", reads_as=0),
    "slow_tokenizer_class": Accepted("both classes give the same ids"),
    "chat_template": Accepted("DeBERTa has no chat"),
    "apply_chat_template": _NO_CHAT,
    "encode_message_with_chat_template": _NO_CHAT,
    "get_chat_template": _NO_CHAT,
    "save_chat_templates": _NO_CHAT,
    "prepare_seq2seq_batch": _NO_DECODER,
    "as_target_tokenizer": _NO_DECODER,
    "push_to_hub": _NO_HUB,
    "register_for_auto_class": Refused("No code of a folder is run: load it with the class itself."),
}
# Attributes and methods of a BatchEncoding.
ENCODING_ATTRIBUTES: Rows = {
    "words": Renamed("word_ids"),
}
