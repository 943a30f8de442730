"""The JSON files beside a vocabulary: settings, special tokens, added tokens."""

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.corpus import tokenizers
from tools.fuzz.targets import Target, any_file
from tools.fuzz.targets._tokenizer import read_tokenizer

_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

TARGET = Target(tokenizers("v1", "v2", fast=True), any_file(dict.fromkeys(_FILES, change_json)), read_tokenizer)
