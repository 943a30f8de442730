"""tf_model.h5, weights of transformers' TensorFlow models."""

from tools.fuzz.changes.hdf5 import change_hdf5
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

TARGET = Target(checkpoints("h5"), one_file("tf_model.h5", change_hdf5), read_checkpoint)
