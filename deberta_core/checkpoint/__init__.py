"""Checkpoint files: every format read as a lazy mapping of PyTorch names to arrays, and written from one."""

from deberta_core.checkpoint.custom import OwnLayers
from deberta_core.checkpoint.folder import checkpoint_folder
from deberta_core.checkpoint.formats import FORMATS, Format, find_weight_file, format_named, open_weights
from deberta_core.checkpoint.lazy import Entry, LazyWeights, blocks
from deberta_core.checkpoint.load import LoadedWeights, LoadReport, load_weights, match_weights, refuse_problems
from deberta_core.checkpoint.model_config import config_beside, load_config
from deberta_core.checkpoint.pairs import Pair, check_pair, generator_config_of, read_pair, write_pair
from deberta_core.checkpoint.save import save_weights, shard_names
from deberta_core.checkpoint.shards import leads_outside, shard_files

__all__ = [
    "FORMATS",
    "Entry",
    "Format",
    "LazyWeights",
    "LoadReport",
    "LoadedWeights",
    "OwnLayers",
    "Pair",
    "blocks",
    "check_pair",
    "checkpoint_folder",
    "config_beside",
    "find_weight_file",
    "format_named",
    "generator_config_of",
    "leads_outside",
    "load_config",
    "load_weights",
    "match_weights",
    "open_weights",
    "read_pair",
    "refuse_problems",
    "save_weights",
    "shard_files",
    "shard_names",
    "write_pair",
]
