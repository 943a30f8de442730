"""Writes the support table of README.md from the task table; with `--check` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deberta_core.auto import CONFIG_CLASSES
from deberta_core.tasks import BACKBONE, TASKS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- support table -->", "<!-- end of support table -->"


def table() -> str:
    """The table: a row per task, a column per version; `TF` stands before the Keras classes."""
    families = [cls.__name__.removesuffix("Config") for cls in CONFIG_CLASSES.values()]
    versions = {"Deberta": "v1", "DebertaV2": "v2, v3, mDeBERTa"}
    lines = [f"| task | {' | '.join(versions[family] for family in families)} | output |", "|---" * 4 + "|"]
    for spec in (BACKBONE, *TASKS.values()):
        classes = " | ".join(f"`{family}{spec.class_suffix}`" for family in families)
        lines.append(f"| {spec.name.replace('_', ' ')} | {classes} | `{spec.output_name}` |")
    return "\n".join(lines)


def main() -> int:
    """Replaces the table between the marks of README.md; with `--check`, says whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the table is outdated")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"
    if not arguments.check:
        README.write_text(new, encoding="utf-8")
    elif new != text:
        print("README.md: the support table is outdated. Run: python tools/support_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
