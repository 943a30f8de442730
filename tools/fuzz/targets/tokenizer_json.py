"""tokenizer.json, beside the vocabulary's own files and alone."""

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.corpus import tokenizers
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._tokenizer import read_tokenizer

TARGET = Target(tokenizers("v1", "v2", fast=True), one_file("tokenizer.json", change_json), read_tokenizer)
