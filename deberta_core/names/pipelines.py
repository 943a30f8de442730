"""Names of transformers at pipelines."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Renamed, Rows

# Names of tasks.
PIPELINE_TASKS: Rows = {
    "ner": Renamed("token-classification"),
}
# Arguments of `pipeline` and of every task.
PIPELINE_OPTIONS: Rows = {
    "torch_dtype": Renamed("dtype"),
    "num_workers": Accepted("texts are tokenized where they are read"),
}
