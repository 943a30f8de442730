"""Names of transformers at configurations."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Renamed, Rows

# Attributes that are read.
CONFIG_ATTRIBUTES: Rows = {
    "use_return_dict": Renamed("return_dict"),
}
# Attributes that others assign.
CONFIG_ASSIGNMENTS: Rows = {
    "use_cache": Accepted("there is no generation"),
}
