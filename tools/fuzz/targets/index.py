"""model.safetensors.index.json, which says in which of several files each weight is."""

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.corpus import checkpoints
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

TARGET = Target(
    checkpoints("safetensors", "4KB"), one_file("model.safetensors.index.json", change_json), read_checkpoint
)
