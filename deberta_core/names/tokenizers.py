"""Names of transformers at tokenizers and what they return."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Refused, Rows

# Arguments of constructors and `from_pretrained`.
TOKENIZER_OPTIONS: Rows = {
    "use_fast": Accepted("both classes give the same ids"),
}
# Arguments of a call.
TOKENIZER_CALL: Rows = {
    "verbose": Accepted("warnings go through the module warnings"),
}
# Attributes and methods.
TOKENIZER_ATTRIBUTES: Rows = {
    "apply_chat_template": Refused("DeBERTa has no chat."),
}
# Attributes and methods of a BatchEncoding.
ENCODING_ATTRIBUTES: Rows = {
    "is_fast": Accepted("every encoding knows its offsets", reads_as=True),
}
