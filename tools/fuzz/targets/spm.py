"""spm.model, a SentencePiece vocabulary."""

from tools.fuzz.changes.protobuf import change_protobuf
from tools.fuzz.corpus import tokenizers
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._tokenizer import read_tokenizer

TARGET = Target(tokenizers("v2", fast=False), one_file("spm.model", change_protobuf), read_tokenizer)
