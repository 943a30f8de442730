"""Writes the tables of pages that come from the code or from scores; with `--check` only compares."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.auto import CONFIG_CLASSES
from deberta_core.checkpoint import FORMATS, Format, load_weights, save_weights
from deberta_core.config import BaseConfig
from deberta_core.names import NAMES
from deberta_core.names.rows import as_table
from deberta_core.parameters import expand
from deberta_core.tasks import BACKBONE, TASKS
from deberta_dual.data.columns import FIELDS, ROLES, TASK_ROLES

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}


def task_table() -> str:
    """A row per task, a column per version; `TF` stands before the Keras classes."""
    families = [cls.__name__.removesuffix("Config") for cls in CONFIG_CLASSES.values()]
    versions = {"Deberta": "v1", "DebertaV2": "v2, v3, mDeBERTa"}
    lines = [f"| task | {' | '.join(versions[family] for family in families)} | output |", "|---" * 4 + "|"]
    for spec in (BACKBONE, *TASKS.values()):
        classes = " | ".join(f"`{family}{spec.class_suffix}`" for family in families)
        lines.append(f"| {spec.name.replace('_', ' ')} | {classes} | `{spec.output.__name__}` |")
    return "\n".join(lines)


def format_table() -> str:
    """A row per format, a column per head; every cell is tried: written, read again, and compared."""
    specs = (BACKBONE, *TASKS.values())
    heads = " | ".join(spec.name.replace("_", " ") for spec in specs)
    lines = [f"| name | files | numbers | {heads} |", "|---" * (3 + len(specs)) + "|"]
    for row in FORMATS.values():
        files = f"`{row.file_name}`" + (f", `{row.index_name}`" if row.write_part else "")
        cells = " | ".join(_directions(row, None if spec is BACKBONE else spec.name) for spec in specs)
        lines.append(f"| `{row.name}` | {files} | {', '.join(row.dtypes)} | {cells} |")
    return "\n".join(lines)


def _directions(row: Format, task: str | None) -> str:
    """What works for every version and masked-LM head."""
    configs = [cls(**SMALL, legacy=legacy) for cls in CONFIG_CLASSES.values() for legacy in (True, False)]
    return "read, write" if all(_survives(row, config, task) for config in configs) else ""


def _survives(row: Format, config: BaseConfig, task: str | None) -> bool:
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=p.shape).astype("float32") for name, p in expand(config, task).items()}
    with tempfile.TemporaryDirectory() as folder:
        save_weights(folder, config, task, weights, row.name)
        with load_weights(folder, config, task) as loaded:
            return all(np.array_equal(loaded.weights[name], array) for name, array in weights.items())


def field_table() -> str:
    """A row per task of the data path: what it reads, and what it learns."""
    rows = [f"| {task} | {_names(read)} | {_names(learnt) or 'nothing'} |" for task, (read, learnt) in FIELDS.items()]
    return "\n".join(["| task | reads | learns, is judged by |", "|---|---|---|", *rows])


def column_table() -> str:
    """A row per role: the names by which its column is guessed."""
    rows = [f"| `{role}` | {_names(names)} |" for role, names in ROLES.items()]
    rows += [
        f"| `{role}` of {task} | {_names(names)} |"
        for task, roles in TASK_ROLES.items()
        for role, names in roles.items()
    ]
    return "\n".join(["| field | names of its column |", "|---|---|", *rows])


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def pretraining_table() -> str:
    """A row per way of pretraining: what the models had learnt, and how well they classify when they are fine-tuned."""
    results = json.loads((ROOT / "docs/pretraining_scores.json").read_text(encoding="utf-8"))
    columns = {"PyTorch": "torch", "Keras": "tf"}
    lines = [
        f"| pretraining | masked tokens right | RTD loss | {' | '.join(f'SST-2, {name}' for name in columns)} |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for name, runs in results.items():
        first = [run["pretraining"] for run in runs["torch"].values() if "pretraining" in run]
        learnt = [_mean([run[score] for run in first if score in run]) for score in ("eval_accuracy", "eval_rtd_loss")]
        tests = [
            _mean([run["finetuning"]["test_accuracy"] for run in runs.get(framework, {}).values()])
            for framework in columns.values()
        ]
        lines.append(f"| {name} | {' | '.join(learnt + tests)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    """The mean of some runs, with their number, the lowest and the highest."""
    if not values:
        return ""
    spread = f" ({len(values)} seeds, {min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


# The page -> the mark before and after a table in it -> what stands between.
TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"support table": task_table, "format table": format_table},
    "docs/data.md": {"fields of tasks": field_table, "names of columns": column_table},
    "docs/pretraining.md": {"pretraining scores": pretraining_table},
    "docs/migrating.md": {f"names of {place}": partial(as_table, rows) for place, rows in NAMES.items()},
}


def filled(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """A page with its tables up to date."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table()}\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    """Replaces the tables between their marks; with `--check`, says whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a table is outdated")
    arguments = parser.parse_args()
    outdated = []
    for name, tables in TABLES.items():
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        new = filled(text, tables)
        if not arguments.check:
            page.write_text(new, encoding="utf-8")
        elif new != text:
            outdated.append(name)
            print(f"{name}: a table is outdated. Run: python tools/page_tables.py", file=sys.stderr)
    return bool(outdated)


if __name__ == "__main__":
    sys.exit(main())
