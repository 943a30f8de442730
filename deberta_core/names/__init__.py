"""What becomes of the names that users of transformers and keras-hub write.

One table a place where names are given; loaders, models, tokenizers and pipelines read it, and `tools/page_tables.py`
prints it into docs/migrating.md. A name that is in no row and is none of ours is refused with the nearest one.
"""

from __future__ import annotations

from deberta_core.names import configs, keras, loading, models, pipelines, tokenizers
from deberta_core.names.rows import Rows

# A place, as the page calls it -> the names that are given there.
NAMES: dict[str, Rows] = {
    "loading": loading.LOADING,
    "saving": loading.SAVING,
    "load reports": loading.LOAD_REPORT,
    "configurations": configs.CONFIG_ATTRIBUTES,
    "configuration options": configs.CONFIG_OPTIONS,
    "configuration keys": configs.CONFIG_KEPT,
    "assignments": configs.CONFIG_ASSIGNMENTS,
    "models": models.MODEL_ATTRIBUTES,
    "tokenizer options": tokenizers.TOKENIZER_OPTIONS,
    "tokenizer calls": tokenizers.TOKENIZER_CALL,
    "tokenizer attributes": tokenizers.TOKENIZER_ATTRIBUTES,
    "encodings": tokenizers.ENCODING_ATTRIBUTES,
    "pipeline tasks": pipelines.PIPELINE_TASKS,
    "pipeline options": pipelines.PIPELINE_OPTIONS,
    "pipeline calls": pipelines.PIPELINE_CALL,
    **{f"{task} options": rows for task, rows in pipelines.TASK_OPTIONS.items()},
    "cross-encoders": pipelines.CROSS_ENCODER_OPTIONS,
    "Keras": keras.KERAS_OPTIONS,
    "preprocessors": keras.PREPROCESSOR_OPTIONS,
}
