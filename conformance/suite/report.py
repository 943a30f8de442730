"""What the suite measured, kept until the end of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from conformance.tolerances import TOLERANCES


@dataclass(frozen=True, slots=True)
class Measurement:
    """One error of one framework in one case."""

    case: str
    framework: str
    quantity: str
    error: float


MEASUREMENTS: list[Measurement] = []


def record(case: str, framework: str, errors: Mapping[str, float]) -> None:
    """Keeps the worst error per quantity of a case."""
    MEASUREMENTS.extend(Measurement(case, framework, quantity, error) for quantity, error in errors.items())


def table(measurements: Iterable[Measurement]) -> list[str]:
    """Lines of text: per case and quantity, the worst error of each framework, and the margin to the bound."""
    worst: dict[tuple[str, str], dict[str, float]] = {}
    for item in measurements:
        row = worst.setdefault((item.case, item.quantity), {})
        row[item.framework] = max(row.get(item.framework, 0.0), item.error)
    frameworks = sorted({name for row in worst.values() for name in row})
    width = max((len(case) for case, _ in worst), default=4)
    header = "  ".join(f"{name:>9}" for name in frameworks)
    lines = [f"{'case':{width}}  {'quantity':18}  {header}  {'bound':>7}  margin"]
    for (case, quantity), row in worst.items():
        limit = TOLERANCES[quantity].limit
        cells = "  ".join(f"{row[name]:9.1e}" if name in row else " " * 9 for name in frameworks)
        largest = max(row.values())
        margin = f"{limit / largest:5.1f}x" if largest else "exact"
        lines.append(f"{case:{width}}  {quantity:18}  {cells}  {limit:7.0e}  {margin}")
    return lines
