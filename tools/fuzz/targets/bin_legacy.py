"""pytorch_model.bin as torch wrote it before 1.6: five pickles, then numbers; and as before 0.1.10, a tar archive."""

import io
import re
import tarfile
from pathlib import Path
from random import Random

from tools.fuzz.changes.pickles import change_pickle_of
from tools.fuzz.changes.raw import change_bytes
from tools.fuzz.corpus import Files, checkpoints, config, weights
from tools.fuzz.targets import Target, one_file
from tools.fuzz.targets._checkpoint import read_checkpoint

# Magic number, version and description of the machine, each as good a place as any; the state dict; names of storages.
_PICKLES = (0, 1, 2, 3, 3, 3, 3, 4, 4)


def _corpus(folder: Path) -> list[Files]:
    import torch  # not in the process that reads

    stream = io.BytesIO()
    arrays = weights(config("v2"), None)
    parts = torch.cat([torch.from_numpy(array).flatten() for array in arrays.values()]).split(
        [array.size for array in arrays.values()]
    )
    state = {name: part.view(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}
    torch.save(state, stream, _use_new_zipfile_serialization=False)
    # The one thing in it that does not follow from the seed: where the storage lies, which names it.
    content = re.sub(rb"X.\0\0\0[0-9]{8,20}", b"X\x08\0\0\x0094000000", stream.getvalue())
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"\x80\x02."))
    others = checkpoints("bin")(folder)[2]
    return [others | {"pytorch_model.bin": content} for content in (content,) * 5 + (tar.getvalue(),)]


def _change(random: Random, data: bytes) -> bytes:
    if random.random() < 0.25 or not data.startswith(b"\x80"):
        return change_bytes(random, data)
    return change_pickle_of(random.choice(_PICKLES), random, data)


TARGET = Target(_corpus, one_file("pytorch_model.bin", _change), read_checkpoint)
