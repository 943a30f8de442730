"""SentencePiece's map of characters to what normalization makes of them, before a library follows its places."""

from __future__ import annotations

import numpy as np

_BLOCK = 256  # entries; those that follow an entry lie in one block, chosen by a byte of the text
_LEAF = 1 << 31


def longest_replacement(charsmap: bytes) -> int:
    """The most bytes that one character becomes.

    Args:
        charsmap: the bytes of the trie in 4, the trie, the replacements, each with a zero byte behind it.

    Raises:
        ValueError: a place in it leads outside, where the libraries that use it would follow.

    Source:
        SentencePiece `src/normalizer.cc` for the layout, darts-clone `darts.h` for the entries of the trie: the
        offset to the next block in bits 10 to 30, times 256 where bit 9 is set; or, with bit 31, the place of a
        replacement.
    """
    size = int.from_bytes(charsmap[:4], "little")
    replacements = charsmap[4 + size :]
    if len(charsmap) < 4 + size or size == 0 or size % (4 * _BLOCK) or replacements[-1:] != b"\0":
        raise ValueError(f"its map of characters is damaged: {len(charsmap)} bytes, of which the trie takes {size}")
    entries = np.frombuffer(charsmap, "<u4", size // 4, 4).astype(np.int64)
    is_leaf = entries >= _LEAF
    following = np.arange(len(entries)) ^ ((entries & (_LEAF - 1)) >> 10 << ((entries & 1 << 9) >> 6))
    if (following[~is_leaf] >= len(entries)).any() or (entries[is_leaf] - _LEAF >= len(replacements)).any():
        raise ValueError("its map of characters is damaged: a place in it leads outside")
    return max(map(len, replacements.split(b"\0")))
