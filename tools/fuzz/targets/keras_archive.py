"""model.keras, an archive of a model's description and weights."""

from functools import partial

from tools.fuzz.changes.archives import change_archive
from tools.fuzz.changes.hdf5 import change_hdf5
from tools.fuzz.changes.json_values import change_json
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

_MEMBERS = {".weights.h5": change_hdf5, ".json": change_json}

TARGET = Target(
    checkpoints("keras-archive"), one_file("model.keras", partial(change_archive, kinds=_MEMBERS)), read_checkpoint
)
