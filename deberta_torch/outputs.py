"""Makes torch know the output classes by name, so that an exported program that returns one can be saved."""

from __future__ import annotations

# Named tuples are pytrees already; only their names on disk must be told, and for that torch has no public function.
from torch.utils._pytree import _register_namedtuple

from deberta_core.outputs import ModelOutput
from deberta_core.tasks import BACKBONE, TASKS, PreTrainingOutput


def register_outputs() -> None:
    """Registers every output class once; a program that was saved is loaded after `import deberta_torch`."""
    kinds: set[type[ModelOutput]] = {PreTrainingOutput, *(spec.output for spec in (BACKBONE, *TASKS.values()))}
    for kind in kinds:
        for fields, cls in kind.variants.items():
            _register_namedtuple(cls, serialized_type_name=f"{kind.__name__}({','.join(fields)})")
