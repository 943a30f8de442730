"""model.safetensors."""

from tools.fuzz.changes.safetensors import change_safetensors
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

TARGET = Target(checkpoints("safetensors"), one_file("model.safetensors", change_safetensors), read_checkpoint)
