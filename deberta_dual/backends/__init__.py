"""The one seam to the frameworks: a table of them, and one file for each that does what `protocol.Backend` asks."""

from deberta_dual.backends.protocol import ArrayModel, Arrays, Backend
from deberta_dual.backends.table import (
    FRAMEWORKS,
    TRAINERS,
    choose_framework,
    explaining_backend,
    get_backend,
    installed_versions,
    owner,
    pretraining_backend,
)

__all__ = [
    "FRAMEWORKS",
    "TRAINERS",
    "ArrayModel",
    "Arrays",
    "Backend",
    "choose_framework",
    "explaining_backend",
    "get_backend",
    "installed_versions",
    "owner",
    "pretraining_backend",
]
