"""Models inside other modules: what stands before their parameters' names in a file, and what is beside them."""

from __future__ import annotations

import re

from deberta_core.checkpoint.lazy import LazyWeights

# A parameter that every model has; the older beginning is that of Microsoft's first checkpoints.
_TABLE = re.compile(r"(.*?)(deberta\.|bert\.)?embeddings\.word_embeddings\.weight")


def unwrapped(weights: LazyWeights) -> LazyWeights:
    """The parameters of the one model in a file, by its own names.

    A Lightning module holds it as `model.`, `torch.compile` as `_orig_mod.`, DataParallel as `module.`, and users'
    modules as anything. What is beside it there, such as a loss or a head of the user's own, is left out.

    Returns:
        `weights` itself where nothing stands before the names, or where there are several models.
    """
    wrappers = {match[1] for name in weights if (match := _TABLE.fullmatch(name))}
    if len(wrappers) != 1 or (wrapper := wrappers.pop()) == "":
        return weights
    names = {name.removeprefix(wrapper): name for name in weights if name.startswith(wrapper)}
    beside = tuple(name for name in weights if not name.startswith(wrapper))
    opened = weights.select(names)
    opened.beside = beside
    return opened
