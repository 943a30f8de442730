"""vocab.json and merges.txt, a byte-level vocabulary."""

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.changes.lines import change_lines
from tools.fuzz.corpus import tokenizers
from tools.fuzz.targets import Target, any_file
from tools.fuzz.targets._tokenizer import read_tokenizer

TARGET = Target(
    tokenizers("v1", fast=False), any_file({"vocab.json": change_json, "merges.txt": change_lines}), read_tokenizer
)
