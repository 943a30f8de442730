"""The scores as a table in a page of the docs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from tools.task_scores.datasets import DATA_SETS

PAGE = "finetuning.md"
BEGIN, END = "<!-- task scores -->", "<!-- end of task scores -->"
NAMES = {"torch": "PyTorch", "tf": "Keras"}


def write_table(results: Mapping[str, Any], docs: Path) -> None:
    """Puts the table between the page's two marks."""
    page = docs / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(results)}{END}{after}", encoding="utf-8")


def table(results: Mapping[str, Any]) -> str:
    """A line for each data set and score: the mean of the seeds, the lowest and the highest, and the baselines."""
    lines = ["| data set | score | baselines | PyTorch | Keras |", "| --- | --- | --- | --- | --- |"]
    for name, data_set in DATA_SETS.items():
        for metric in data_set.metrics if name in results else ():
            own = results[name]
            simple = ", ".join(f"{value[metric]:.3f} {what}" for what, value in own["baselines"].items())
            found = [_seeds([one["test"][metric] for one in own[framework].values()]) for framework in NAMES]
            score = metric.replace("_", " ").replace("f1", "F1").replace("mrr", "MRR").replace("ndcg", "NDCG")
            lines.append(f"| {data_set.title} | {score} | {simple} | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


def _seeds(values: list[float]) -> str:
    return f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
