"""Changes to zip archives: of members, their names, and what is said about them."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from random import Random

from tools.fuzz.changes.raw import Change, change_bytes

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_SYMBOLIC_LINK = 0o120777 << 16
_DIRECTORY_BYTES = 1500  # where the directory at the end of a small archive lies


def change_archive(random: Random, data: bytes, kinds: Mapping[str, Change]) -> bytes:
    """Changes a member as what it is, the list of members, or the archive's own bytes.

    Args:
        random: where all choices come from.
        data: the archive.
        kinds: the end of a member's name to what changes its content.
    """
    action = random.random()
    if action < 0.2:
        return change_bytes(random, data, near=_DIRECTORY_BYTES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    if action < 0.8:
        chosen = [(place, change) for end, change in kinds.items() for place, (name, _) in enumerate(members)
                  if name.endswith(end)]  # fmt: skip
        place, change = random.choice(chosen)
        members[place] = (members[place][0], change(random, members[place][1]))
    else:
        _rearrange(random, members)
    return _written(random, members, odd=action > 0.95)


def _rearrange(random: Random, members: list[tuple[str, bytes]]) -> None:
    place = random.randrange(len(members))
    name, content = members[place]
    folder, _, last = name.rpartition("/")
    action = random.randrange(5)
    if action == 0:
        del members[place]
    elif action == 1:
        members.insert(random.randrange(len(members)), random.choice(members))
    elif action == 2:
        names = (f"../{name}", f"/{name}", last, f"{folder}/x/{last}", name.upper(), f"{name}\0", "y" * 3000, "é")
        members[place] = (random.choice(names), content)
    elif action == 3:
        members[place] = (name, random.choice((b"", content[:-1], content * 2, bytes(2**22))))
    else:
        random.shuffle(members)


def _written(random: Random, members: list[tuple[str, bytes]], odd: bool) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            info = zipfile.ZipInfo(name)  # of one date, so that the same seed gives the same bytes
            if odd:
                info.compress_type = random.choice(_METHODS)
                info.external_attr = random.choice((0, _SYMBOLIC_LINK))
            archive.writestr(info, content)
    return stream.getvalue()
