"""What was measured: kept until the end of a run, and put into rows for people and programs to read."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.tolerances import TOLERANCES

BESIDE = ("transformers",)  # measured where it is installed, and not judged
_PACKAGES = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras", "transformers")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One error of one framework in one case."""

    case: str
    framework: str
    quantity: str
    error: float


@dataclass(frozen=True, slots=True)
class Row:
    """The worst error of each framework in one case and quantity.

    Attributes:
        case: what was computed.
        quantity: what was compared, a name of `TOLERANCES`.
        errors: by framework, relative to the output's scale.
    """

    case: str
    quantity: str
    errors: Mapping[str, float]

    @property
    def bound(self) -> float:
        """What an error may be."""
        return TOLERANCES[self.quantity].limit

    @property
    def worst(self) -> float:
        """The largest error of what is judged."""
        return max((error for name, error in self.errors.items() if name not in BESIDE), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether what is judged is within the bound."""
        return self.worst <= self.bound

    @property
    def margin(self) -> float:
        """How many times the worst error would still pass; infinite where there is no error."""
        return self.bound / self.worst if self.worst else math.inf

    def share(self, framework: str) -> float:
        """A framework's error as a part of the bound; where nothing may differ, 0 or infinity."""
        error = self.errors[framework]
        if not self.bound:
            return math.inf if error else 0.0
        return error / self.bound


MEASUREMENTS: list[Measurement] = []


def record(case: str, framework: str, errors: Mapping[str, float]) -> None:
    """Keeps the worst error per quantity of a case."""
    MEASUREMENTS.extend(Measurement(case, framework, quantity, error) for quantity, error in errors.items())


def rows(measurements: Iterable[Measurement]) -> list[Row]:
    """A row per case and quantity, in the order they came."""
    worst: dict[tuple[str, str], dict[str, float]] = {}
    for item in measurements:
        errors = worst.setdefault((item.case, item.quantity), {})
        errors[item.framework] = max(errors.get(item.framework, 0.0), item.error)
    return [Row(case, quantity, errors) for (case, quantity), errors in worst.items()]


def frameworks(table_rows: Iterable[Row]) -> list[str]:
    """The frameworks that were measured."""
    return sorted({name for row in table_rows for name in row.errors})


def table(table_rows: Sequence[Row]) -> list[str]:
    """Lines of text: case, quantity, each framework's worst error, the bound and the margin to it."""
    names = frameworks(table_rows)
    width = max((len(row.case) for row in table_rows), default=4)
    header = "  ".join(f"{name:>12}" for name in names)
    lines = [f"{'case':{width}}  {'what':15}  {header}  {'bound':>7}  margin"]
    for row in table_rows:
        cells = "  ".join(f"{row.errors[name]:12.1e}" if name in row.errors else " " * 12 for name in names)
        margin = f"{row.margin:5.1f}x" if row.worst else "exact"
        mark = "" if row.passed else "  FAILED"
        lines.append(f"{row.case:{width}}  {row.quantity:15}  {cells}  {row.bound:7.0e}  {margin}{mark}")
    return lines


def versions() -> dict[str, str]:
    """The versions of what is compared, and the machine they run on."""
    found = {"machine": platform.machine(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_json(table_rows: Sequence[Row]) -> str:
    """The rows as JSON; an error or a margin that is not finite is null."""
    listed = [
        {
            "case": row.case,
            "what": row.quantity,
            "errors": {name: _finite(error) for name, error in row.errors.items()},
            "max_error": _finite(row.worst),
            "bound": row.bound,
            "margin": _finite(row.margin),
            "passed": row.passed,
        }
        for row in table_rows
    ]
    whole: dict[str, Any] = {"versions": versions(), "passed": all(row.passed for row in table_rows), "rows": listed}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
