"""The README.md beside a trained model: what it is, what it was trained on, how good it was, how to use it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from deberta_core.config import BaseConfig
from deberta_dual.backends.table import installed_versions
from deberta_dual.version import own_version

CARD = "README.md"
_LONGEST = 30  # classes that are listed


def model_card(
    config: BaseConfig,
    identity: Mapping[str, Any],
    sizes: Mapping[str, int],
    rows: Sequence[Mapping[str, Any]],
    base: str | None,
) -> str:
    """The text of the card, with the fields that model hubs read at its beginning.

    Args:
        config: of the model.
        identity: the settings of the run, as its state has them.
        sizes: numbers of examples: "training", "evaluation", "test".
        rows: of scores.
        base: the checkpoint that training started from; None for fresh weights.
    """
    task = str(identity["task"])
    use = ["from deberta_dual import pipeline", "", f'answer = pipeline("{task}", "FOLDER")']
    data = [f"* {name}: {count:,} examples" for name, count in sizes.items() if count]
    parts = ["## Data", "", *data, *_classes(config, task), "", "## Scores", "", *_scores(rows)]
    return _card(f"DeBERTa for {task}", identity, base, use, parts)


def several_card(kind: str, rows: Sequence[Mapping[str, Any]], identity: Mapping[str, Any], base: str | None) -> str:
    """The text of the card of a folder that holds several models.

    Args:
        kind: what each of them is: "fold" or "seed".
        rows: the scores of each, and mean and spread.
        identity: the settings of the job.
        base: the checkpoint that training started from; None for fresh weights.
    """
    *rows, total = rows
    task, names = str(identity["task"]), [f"{kind}-{row[kind]}" for row in rows]
    folders = ", ".join(f'"FOLDER/{name}"' for name in names)
    use = [
        "from deberta_dual import pipeline",
        "",
        f'answer = pipeline("{task}", [{folders}])  # averages their probabilities',
    ]
    scores = ["| metric | mean | spread | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|"]
    for name, mean in total["mean"].items():
        values = [mean, total["spread"][name], *(row[name] for row in rows)]
        scores.append(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    best = f"The best is `{total['best']}`. " if "best" in total else ""
    parts = ["## Scores", "", *scores, "", f"{best}The spread is the standard deviation of a sample."]
    return _card(f"DeBERTa for {task}, {len(names)} {kind}s", identity, base, use, parts)


def pretraining_card(
    identity: Mapping[str, Any], files: Sequence[Any], rows: Sequence[Mapping[str, Any]], base: str | None
) -> str:
    """The text of the card of a pretrained model.

    Args:
        identity: the settings of the run.
        files: of the corpus.
        rows: of scores.
        base: the checkpoint that training started from; None for fresh weights.
    """
    is_rtd = identity["objective"] == "rtd"
    use = ["from deberta_dual import finetune, pipeline", ""]
    use += ['finetune("text-classification", "train.csv", "my-classifier", model="FOLDER")']
    use += [f'fill = pipeline("fill-mask", "FOLDER{"/generator" if is_rtd else ""}")']
    names = [f"* {getattr(file, 'name', file)}" for file in files[:_LONGEST]]
    names += [f"* and {len(files) - _LONGEST} more"] if len(files) > _LONGEST else []
    kind = "replaced-token detection" if is_rtd else "masked language modeling"
    parts = ["## Data", "", *names, "", "## Scores", "", *_scores(rows)]
    return _card(f"DeBERTa, pretrained by {kind}", {**identity, "task": "fill-mask"}, base, use, parts)


def _card(title: str, identity: Mapping[str, Any], base: str | None, use: Sequence[str], parts: Sequence[str]) -> str:
    head = ["---", "library_name: deberta-dual", f"pipeline_tag: {identity['task']}", "tags: [deberta]"]
    head += [f"base_model: {json.dumps(base)}"] if base else []
    versions = ", ".join(f"{package} {version}" for package, version in installed_versions().items())
    return "\n".join(
        [
            *head,
            "---",
            f"# {title}",
            "",
            f"Trained from {_started(base, identity)} in {_framework(identity)}.",
            "",
            "```python",
            *use,
            "```",
            "",
            *parts,
            "",
            "## Settings",
            "",
            *(f"* {name}: {_shown(value)}" for name, value in identity.items() if name not in _LEFT_OUT),
            "",
            f"Made by deberta-dual {own_version()} with",
            f"{versions}:",
            "",
            "```",
            _command(),
            "```",
            "",
        ]
    )


_LEFT_OUT = ("task", "framework", "start", "config", "data")


def _started(base: str | None, identity: Mapping[str, Any]) -> str:
    return base or f"fresh weights of the size {identity['start']}"


def _framework(identity: Mapping[str, Any]) -> str:
    return {"torch": "PyTorch", "tf": "Keras"}.get(str(identity["framework"]), str(identity["framework"]))


def _classes(config: BaseConfig, task: str) -> list[str]:
    names = list((config.id2label or {}).values())
    if task not in ("text-classification", "token-classification") or len(names) > _LONGEST:
        return []
    return [f"* classes: {', '.join(names)}"]


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores of the last row that has each."""
    last: dict[str, float] = {}
    for row in rows:
        last |= {name: value for name, value in row.items() if name.startswith(("eval_", "test_", "train_"))}
    if not last:
        return ["None were computed."]
    return ["| metric | value |", "|---|---|", *(f"| {name} | {value:.4f} |" for name, value in last.items())]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _command() -> str:
    """How this process was started; of a command of ours without the path of the program."""
    words = ["deberta", *sys.argv[1:]] if sys.argv[0].endswith(("deberta", "cli.py")) else ["python", "..."]
    return shlex.join(words)
