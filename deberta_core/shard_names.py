"""The index of a checkpoint in several files: which files it names."""

from __future__ import annotations

from pathlib import Path

from deberta_core.errors import DebertaError, name_list, shown
from deberta_core.files import is_plain_name, read_json
from deberta_core.json_shape import TEXT, map_of, record
from deberta_core.limits import check

INDEX = record({"weight_map": map_of(TEXT)})


def shard_names(index: Path, error: type[DebertaError]) -> list[str]:
    """The names of the files, sorted; they lie beside the index.

    Raises:
        error: the index is damaged, or names a place outside its folder.
    """
    hint = "An index has a weight_map of parameters to files. Copy or download it again."
    names = sorted(set(read_json(index, error, hint, INDEX)["weight_map"].values()))
    if not names:
        raise error(f"{index} has an empty weight_map. {hint}")
    for name in names:
        check("file_name_bytes", len(name.encode()), f"{index} names {shown(name)}, which has", error)
    outside = [name for name in names if not is_plain_name(name)]
    if outside:
        raise error(f"{index} names files outside its folder: {name_list(outside)}. Do not use this checkpoint.")
    return names
