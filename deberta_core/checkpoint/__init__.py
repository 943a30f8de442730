"""Checkpoint files: every format read as a lazy mapping of PyTorch names to arrays, and written from one."""

from deberta_core.checkpoint.formats import FORMATS, Format, find_weight_file, format_named, open_weights
from deberta_core.checkpoint.lazy import Entry, LazyWeights
from deberta_core.checkpoint.load import LoadedWeights, LoadReport, load_weights, match_weights, refuse_problems
from deberta_core.checkpoint.model_config import load_config
from deberta_core.checkpoint.save import save_weights

__all__ = [
    "FORMATS",
    "Entry",
    "Format",
    "LazyWeights",
    "LoadReport",
    "LoadedWeights",
    "find_weight_file",
    "format_named",
    "load_config",
    "load_weights",
    "match_weights",
    "open_weights",
    "refuse_problems",
    "save_weights",
]
