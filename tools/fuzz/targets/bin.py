"""pytorch_model.bin, an archive with a pickle in it."""

from functools import partial

from tools.fuzz.changes.archives import change_archive
from tools.fuzz.changes.pickles import change_pickle
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

TARGET = Target(
    checkpoints("bin"),
    one_file("pytorch_model.bin", partial(change_archive, kinds={"data.pkl": change_pickle})),
    read_checkpoint,
)
