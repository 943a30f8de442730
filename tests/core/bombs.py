"""Small files and arguments that ask for endless memory or time; run_bombs.py reads them."""

import base64
import functools
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from deberta_core import AutoConfig, AutoTokenizer, DebertaV2Config
from deberta_core.checkpoint import open_weights
from deberta_core.positions import position_index_table

SMALL = DebertaV2Config(
    vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, position_buckets=4
)
DATASET = "deberta/tf_deberta_v2_model/deberta/encoder/LayerNorm/gamma:0"

Make = Callable[[Path], object]
# Name: row of LIMITS, what writes the files into a folder that holds a small tokenizer, what reads them.
BOMBS: dict[str, tuple[str, Make, Make]] = {}


def bomb(row: str, read: Make) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        BOMBS[make.__name__] = (row, make, read)
        return make

    return add


def weights(folder: Path) -> object:
    with open_weights(folder, SMALL) as found:
        return [found[name].shape for name in found]


def config(folder: Path) -> object:
    return position_index_table(AutoConfig.from_pretrained(folder))


def tokenizer(folder: Path) -> object:
    found = AutoTokenizer.from_pretrained(folder)
    return found.decode(found("ab" * 20)["input_ids"])


def write_json(folder: Path, name: str, **content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def changed_config(name: str, value: int, **more: object) -> Make:
    return lambda folder: write_json(folder, "config.json", **{**SMALL.to_dict(), **more, name: value})


for row, name, value in (
    ("vocabulary", "vocab_size", 10**9),
    ("distance", "max_position_embeddings", 10**7),
    ("distance", "max_position_embeddings", 10**9),
    ("distance", "max_relative_positions", 10**8),
    ("distance", "position_buckets", 10**8),
    ("layers", "num_hidden_layers", 10**9),
    ("heads", "num_attention_heads", 10**9),
    ("width", "attention_head_size", 10**9),
    ("width", "hidden_size", 10**9),
    ("width", "conv_kernel_size", 10**9 + 1),
    ("token_types", "type_vocab_size", 10**9),
    ("labels", "num_labels", 10**9),
):
    BOMBS[f"config {name}={value}"] = (row, changed_config(name, value), config)


# JSON


@bomb("text_bytes", config)
def a_large_json_file(folder):
    os.truncate(folder / "config.json", 4 << 30)


@bomb("text_bytes", config)
def a_device_as_json(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")


@bomb("text_bytes", tokenizer)
def a_large_vocabulary(folder):
    os.truncate(folder / "spm.model", 4 << 30)


@bomb("json_values", config)
def many_empty_lists_in_json(folder):
    (folder / "config.json").write_bytes(b'{"a":[' + b"[]," * 6_000_000 + b"0]}")


@bomb("json_depth", config)
def deep_json(folder):
    (folder / "config.json").write_text('{"a":' * 500 + "0" + "}" * 500)


@bomb("json_depth", tokenizer)
def deep_special_tokens(folder):
    (folder / "special_tokens_map.json").write_text('{"additional_special_tokens":' + "[" * 500 + "]" * 500 + "}")


@bomb("config_fields", config)
def many_unknown_fields(folder):
    write_json(folder, "config.json", **SMALL.to_dict(), **{f"num_hidden_layer{n}": n for n in range(200_000)})


@bomb("file_name_bytes", weights)
def a_long_name_of_a_shard(folder):
    write_json(folder, "model.safetensors.index.json", weight_map={"a": "x" * 300 + ".safetensors"})


# safetensors


def safetensors(folder: Path, header: bytes, data: bytes = b"") -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)


@bomb("header_bytes", weights)
def a_large_header(folder):
    safetensors(folder, b"{}")
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(struct.pack("<Q", 1 << 31))
    os.truncate(folder / "model.safetensors", 4 << 30)


@bomb("json_values", weights)
def many_empty_lists_in_a_header(folder):
    safetensors(folder, b'{"__metadata__":[' + b"[]," * 6_000_000 + b"0]}")


@bomb("dimensions", weights)
def many_dimensions_in_a_header(folder):
    shape = [2**63 - 1] * 100_000
    safetensors(folder, json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode(), b"1234")


@bomb("array_bytes", weights)
def an_absurd_size_beside_none(folder):
    safetensors(folder, json.dumps({"a": {"dtype": "F32", "shape": [0, 2**70], "data_offsets": [0, 0]}}).encode())


# pytorch_model.bin


def archive(folder: Path, pickled: bytes) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as out:
        out.writestr("archive/data.pkl", b"\x80\x02" + pickled)
        out.writestr("archive/data/0", bytes(4))


ORDERED, TENSOR = b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\1tQ"


@bomb("pickle_steps", weights)
def a_dictionary_of_the_memo(folder):
    """A dictionary of 10,000 pairs, made 10,000 times of one list."""
    names = [b"X\4\0\0\0%04d" % number for number in range(10_000)]
    pairs = b"(" + b"".join(name + b"N\x86" for name in names) + b"l"
    copies = b"".join(name + b"h\2h\1R" for name in names)
    memo = names[0] + pairs + b"q\0" + names[1] + b"h\0\x85q\1" + names[2] + ORDERED + b"q\2"
    archive(folder, b"}(" + memo + copies + b"u.")


@bomb("pickle_steps", weights)
def many_empty_lists_in_a_pickle(folder):
    archive(folder, b"(" + b"]" * 20_000_000 + b"l.")


@bomb("pickle_steps", weights)
def parts_of_storages_from_the_memo(folder):
    archive(folder, b"(" + STORAGE[:-2] + b"N" * 500_000 + b"tq\0" + b"h\0Q" * 300_000 + b"l.")


@bomb("dimensions", weights)
def many_dimensions_in_a_pickle(folder):
    sizes = b"(" + (b"\x8a\x08" + b"\xff" * 7 + b"\x7f") * 200_000 + b"t"
    archive(folder, b"}(X\1\0\0\0a" + TENSOR + b"(" + STORAGE + b"K\0" + sizes + sizes + b"tRu.")


@bomb("pickle_steps", weights)
def numbers_with_one_hash_as_keys(folder):
    keys = b"".join(b"\x8a\x0a" + ((2**61 - 1) * n).to_bytes(10, "little") + b"N" for n in range(1, 100_000))
    archive(folder, b"}(" + keys + b"u.")


@bomb("pickle_bytes", weights)
def a_large_pickle(folder):
    archive(folder, b"}X" + struct.pack("<I", 100 << 20) + bytes(100 << 20) + b"0.")


@bomb("zip_directory_bytes", weights)
def many_members(folder):
    """A million entries of one byte, all of the same place."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count, directory = 1_000_000, entry * 1_000_000
    head = struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), len(head))
    place = struct.pack("<4sLQL", b"PK\6\7", 0, len(head) + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (folder / "pytorch_model.bin").write_bytes(head + directory + large + place + end)


# HDF5


@bomb("h5_expansion", weights)
def one_chunk_packed_three_times(folder):
    """Two gigabytes of zeros in one chunk of some kilobytes, for a dataset of ten numbers."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1 << 27,))
    for _ in range(3):
        plist.set_deflate(9)
    packed = bytes(1 << 29)
    for _ in range(3):
        packed = zlib.compress(packed, 9)
    with h5py.File(folder / "tf_model.h5", "w") as file:
        group = file.create_group(DATASET.rpartition("/")[0])
        space = h5py.h5s.create_simple((10,), (h5py.h5s.UNLIMITED,))
        name = DATASET.rpartition("/")[2].encode()
        dataset = h5py.h5d.create(group.id, name, h5py.h5t.NATIVE_FLOAT, space, plist)
        dataset.write_direct_chunk((0,), packed)


@bomb("h5_expansion", weights)
def a_large_chunk_packed_once(folder):
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset(DATASET, (1,), "f4", maxshape=(None,), chunks=(1 << 28,), compression="gzip")
        file[DATASET].id.write_direct_chunk((0,), b"x" * 1_200_000)


@bomb("h5_expansion", weights)
def a_dataset_that_is_not_stored(folder):
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset(DATASET, (1 << 36,), "f4", chunks=(1 << 16,), compression="gzip")[:4] = 1


@bomb("h5_objects", weights)
def many_links_to_one_dataset(folder):
    with h5py.File(folder / "tf_model.h5", "w", libver="latest") as file:
        dataset = file.create_dataset(DATASET, data=np.ones(8, "f4"))
        for number in range(100_000):
            h5py.h5o.link(dataset.id, file.id, b"%d" % number)


@bomb("name_length", weights)
def deep_groups(folder):
    with h5py.File(folder / "tf_model.h5", "w", libver="latest") as file:
        group = file.id
        for _ in range(20_000):
            group = h5py.h5g.create(group, b"a")


@bomb("h5_copies", weights)
def many_copies_of_a_parameter(folder):
    zeros = np.zeros(10_000_000, "f4")
    with h5py.File(folder / "tf_model.h5", "w") as file:
        for number in range(60):
            path = DATASET.replace("deberta/tf", f"{number}/tf", 1)
            file.create_dataset(path, data=zeros, chunks=(10_000_000,), compression="gzip")


# Tokenizers


@bomb("vocabulary", tokenizer)
def a_large_id_of_an_added_token(folder):
    write_json(folder, "added_tokens.json", x=10**9)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2Tokenizer"}')


@bomb("added_tokens", tokenizer)
def many_added_tokens(folder):
    write_json(folder, "special_tokens_map.json", additional_special_tokens=[f"<{n}>" for n in range(300_000)])
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2Tokenizer"}')


def described(folder: Path, **changes: object) -> None:
    (folder / "spm.model").unlink()
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def replacing(times: int) -> list[dict[str, object]]:
    return [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}] * times


@bomb("text_growth", tokenizer)
def a_normalizer_that_repeats_itself(folder):
    described(folder, normalizer={"type": "Sequence", "normalizers": replacing(3)})


@bomb("text_growth", tokenizer)
def a_decoder_that_repeats_itself(folder):
    described(folder, decoder={"type": "Sequence", "decoders": [*replacing(3), {"type": "Fuse"}]})


@bomb("text_growth", tokenizer)
def an_expression_that_matches_everywhere(folder):
    step = {"type": "Replace", "pattern": {"Regex": ""}, "content": "a"}
    described(folder, normalizer={"type": "Sequence", "normalizers": [step] * 40})


@bomb("text_growth", tokenizer)
def a_map_of_characters_that_repeats_itself(folder):
    charsmap = struct.pack("<I", 1024) + bytes(1024) + b"a" * 100_000 + b"\0"
    part = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
    described(folder, normalizer=part)


def padded(folder: Path, **options: object) -> object:
    return AutoTokenizer.from_pretrained(folder)(["a"] * 4, padding="max_length", **options)


@bomb("padded_length", padded)
def padding_to_what_the_file_says(folder):
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 10**9}))


@bomb("padded_batch", functools.partial(padded, max_length=10**9))
def padding_to_an_argument(folder):
    pass


def windows(folder: Path) -> object:
    return AutoTokenizer.from_pretrained(folder)(
        "a " * 100_000, truncation=True, max_length=10_000, stride=9_997, return_overflowing_tokens=True, verbose=False
    )


@bomb("windows", windows)
def windows_that_share_almost_everything(folder):
    pass


@bomb("padded_length", functools.partial(padded, max_length=8, pad_to_multiple_of=10**9))
def padding_to_a_multiple(folder):
    pass
