"""model.weights.h5, weights as Keras 3 writes them."""

from tools.fuzz.changes.hdf5 import change_hdf5
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

TARGET = Target(checkpoints("keras"), one_file("model.weights.h5", change_hdf5), read_checkpoint)
