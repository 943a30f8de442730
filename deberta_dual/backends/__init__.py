"""The one seam to the frameworks: a table of them, and one file for each that does what `protocol.Backend` asks."""

from deberta_dual.backends.protocol import ArrayModel, Arrays, Backend
from deberta_dual.backends.table import FRAMEWORKS, choose_framework, get_backend, installed_versions, owner

__all__ = [
    "FRAMEWORKS",
    "ArrayModel",
    "Arrays",
    "Backend",
    "choose_framework",
    "get_backend",
    "installed_versions",
    "owner",
]
