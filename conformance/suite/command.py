"""`python -m conformance`: the table of the suite outside pytest, for the built-in cases or a user's checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from conformance.suite.adapters import FRAMEWORKS, is_installed
from conformance.suite.checkpoint import checkpoint_subject, measures_of
from conformance.suite.compare import worst_errors
from conformance.suite.heatmap import page
from conformance.suite.measure import MEASURES
from conformance.suite.others import judge_cases, write_cases
from conformance.suite.report import BESIDE, Measurement, rows, table, to_json
from conformance.suite.subjects import (
    DEEP_NAMES,
    EXPLANATION_RUNS,
    GRADIENT_RUNS,
    INVARIANCE_RUNS,
    VALUE_RUNS,
    Subject,
    deep_subject,
    subject,
)
from deberta_core.errors import DebertaError, reason

FAILED, USAGE = 1, 2  # exit statuses
_CHOICES = {"torch": ("torch",), "tf": ("keras",), "both": tuple(FRAMEWORKS)}
# By measure, the arguments of `subject`.
_RUNS = {
    "values": VALUE_RUNS,
    "explanations": EXPLANATION_RUNS,
    "gradients": GRADIENT_RUNS,
    "invariances": INVARIANCE_RUNS,
}
_EXTRAS = {"torch": "torch", "keras": "tf"}

_EXAMPLE = """examples:
  python -m conformance --html report.html
  python -m conformance --framework torch --checkpoint my-model --json report.json
  python -m conformance --write-cases cases     (then anything may compute them)
  python -m conformance --judge cases
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the table and writes it where asked.

    Returns:
        0; 1 if a bound is broken, something cannot be loaded or a framework is missing; 2 on bad usage.
    """
    try:
        arguments = _parser().parse_args(argv)
        if arguments.write_cases is not None:
            print(f"{write_cases(arguments.write_cases)} cases in {arguments.write_cases}, whose README.md says more")
            return 0
        chosen = [] if arguments.judge is not None else _frameworks(arguments.framework)
        measured = rows(_measure(arguments, chosen))
        if not measured:
            print(f"conformance: error: no case has {arguments.only!r} in its name.", file=sys.stderr)
            return USAGE
    except SystemExit as end:  # --help, or bad usage
        return end.code if isinstance(end.code, int) else 0
    except (DebertaError, OSError) as problem:
        print("conformance: error:", " ".join(reason(problem).split()), file=sys.stderr)
        return FAILED
    print("\n".join(table(measured)))
    for file, text in ((arguments.json, to_json), (arguments.html, page)):
        if file is not None:
            file.write_text(text(measured), encoding="utf-8")
    broken = [row for row in measured if not row.passed]
    print(f"{len(measured) - len(broken)} of {len(measured)} rows are within their bounds")
    return FAILED if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description="Compares the installed frameworks with the float64 reference.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--framework", choices=tuple(_CHOICES), help="default: those that are installed")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--checkpoint", type=Path, metavar="DIR", help="measure this checkpoint instead of the cases")
    what.add_argument("--deep", action="store_true", help="measure 12 layers of full width instead (minutes, 3 GB)")
    text = "write models and inputs for other implementations"
    what.add_argument("--write-cases", type=Path, metavar="DIR", help=text)
    what.add_argument("--judge", type=Path, metavar="DIR", help="judge the outputs that others wrote into DIR")
    what.add_argument("--only", default="", metavar="TEXT", help="the cases with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the table as a page with a heat map")
    return parser


def _frameworks(choice: str | None) -> list[str]:
    """The frameworks to measure.

    Raises:
        DebertaError: one that was asked for is not installed, or none is.
    """
    wanted = _CHOICES[choice or "both"]
    missing = [name for name in wanted if not is_installed(name)]
    if missing and (choice is not None or len(missing) == len(wanted)):
        extras = ",".join(_EXTRAS[name] for name in missing)
        raise DebertaError(
            f'{" and ".join(missing)}: not installed. Install with: pip install "deberta-dual[{extras}]"'
        )
    return [name for name in wanted if name not in missing]


def _measure(arguments: argparse.Namespace, chosen: Sequence[str]) -> Iterator[Measurement]:
    if arguments.judge is not None:
        yield from judge_cases(arguments.judge)
        return
    if arguments.checkpoint is not None:
        found = checkpoint_subject(arguments.checkpoint)
        for measure in measures_of(found):
            yield from _measurements(found, measure, chosen)
        return
    if arguments.deep:
        others = [name for name in BESIDE if is_installed(name)]
        for name in DEEP_NAMES:
            yield from _measurements(deep_subject(name), "values", [*chosen, *others], keep=False)
        return
    for measure, listed in _RUNS.items():
        for run in listed:
            if arguments.only in " ".join(map(str, run)):
                yield from _measurements(subject(*run), measure, chosen)


def _measurements(
    found: Subject, measure: str, frameworks: Sequence[str], *, keep: bool = True
) -> Iterator[Measurement]:
    """One measure of one subject, in every framework; unless `keep`, a framework's model is dropped after its turn."""
    case = found.name if measure == "values" else f"{found.name}, {measure}"
    print(case, file=sys.stderr, flush=True)
    for framework in frameworks:
        for quantity, error in worst_errors(MEASURES[measure](found, framework)).items():
            yield Measurement(case, framework, quantity, error)
        if not keep:
            found.models.clear()
