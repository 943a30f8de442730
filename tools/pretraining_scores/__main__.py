"""Pretrains small models in every way with `deberta pretrain`, fine-tunes them on SST-2, and writes the scores.

    python -m tools.pretraining_scores --data FOLDER
    python -m tools.pretraining_scores --data FOLDER --framework tf --seeds 0

FOLDER has `text/`, and `datasets/sst2/`, whose training sentences are read without labels, too. All runs see as many
tokens. Writes `docs/pretraining_scores.json`, of which `tools/page_tables.py` makes the table in `docs/pretraining.md`.
A run that is in that file is not repeated, so that the command can be stopped and called again. Other sizes of runs go
into another file:

    python -m tools.pretraining_scores --data FOLDER --device cuda --pretraining steps=20000 --json FILE
"""

from __future__ import annotations

import argparse
import fcntl
import json
from pathlib import Path
from typing import Any

from deberta_core import DebertaV2Tokenizer
from deberta_dual.pretraining import Corpus
from tools.deberta_command import ROOT, rows_of, words

JSON = ROOT / "docs/pretraining_scores.json"
FRAMEWORKS = ("torch", "tf")
PRESET, VOCABULARY, LENGTH = "deberta-v3-small", 4000, 64
# Fields of config.json.
SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": LENGTH,
    "position_buckets": 16,
    "initializer_range": 0.05,  # 0.02 is for widths from 384 on
}
COLUMNS = ["text=sentence"]  # of SST-2
PRETRAINING = {"steps": 600, "batch_size": 16, "max_length": LENGTH, "learning_rate": 2e-3, "evaluate_every": 600}
FINETUNING = {"epochs": 3, "batch_size": 32, "max_length": LENGTH, "learning_rate": 5e-4}
# Name in the table -> options of `deberta pretrain` and fields of config.json; None: fresh weights are fine-tuned.
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]] | None] = {
    "none": None,
    "masked LM": ({"objective": "mlm"}, {"mlm_decoder": "plain"}),
    "masked LM, enhanced mask decoder": ({"objective": "mlm"}, {"mlm_decoder": "enhanced"}),
    "replaced tokens, two tables": ({"objective": "rtd", "embedding_sharing": "none"}, {}),
    "replaced tokens, `gdes`": ({"objective": "rtd", "embedding_sharing": "gdes"}, {}),
}


def main() -> None:
    """Runs what is missing."""
    arguments = _parse()
    for seed in arguments.seeds:
        for name in ROWS:
            key = (arguments.framework, name, str(seed))
            if _read(arguments.json).get(name, {}).get(arguments.framework, {}).get(str(seed)):
                continue
            changes = dict(pair.split("=") for pair in arguments.pretraining)
            work = arguments.work / arguments.framework
            result = measure(arguments.data, work, *key, device=arguments.device, changes=changes)
            _add(arguments.json, result, *key)
            print(*key, json.dumps(result), flush=True)


def measure(
    data: Path, work: Path, framework: str, name: str, seed: str, *, device: str, changes: dict[str, str]
) -> dict[str, Any]:
    """Pretrains and fine-tunes a model once; its scores.

    Args:
        data: the folder of the command.
        work: where models go.
        framework: of `FRAMEWORKS`.
        name: of `ROWS`.
        seed: of all.
        device: of both trainings.
        changes: of `PRETRAINING`.
    """
    shared: dict[str, Any] = {"framework": framework, "device": device, "seed": seed}
    corpus = [data / "text", data / "datasets/sst2/train_binary_sent.csv"]
    vocabulary, pretrained, chosen = work / "vocabulary", work / "pretrained", ROWS[name]
    if not vocabulary.exists():
        texts = (document.text for document in Corpus(corpus, columns=COLUMNS).read())
        DebertaV2Tokenizer.train(texts, VOCABULARY, model_max_length=LENGTH).save_pretrained(vocabulary)
    result: dict[str, Any] = {}
    if chosen is None:
        start: dict[str, Any] = {
            "preset": PRESET,
            "tokenizer": vocabulary,
            "config": [f"{field}={value}" for field, value in SIZES.items()],
        }
    else:
        options, fields = chosen
        result["pretraining"], result["pretraining_seconds"] = _last(
            "pretrain",
            {
                **options,
                "preset": PRESET,
                "config": [f"{field}={value}" for field, value in (SIZES | fields).items()],
                "vocabulary": vocabulary,
                "corpus": corpus,
                "columns": COLUMNS,
                **PRETRAINING,
                **changes,
                **shared,
                "output": pretrained,
            },
        )
        start = {"model": pretrained}
    parts = {"data": "train", "eval_data": "dev", "test_data": "test"}
    result["finetuning"], result["finetuning_seconds"] = _last(
        "finetune",
        {
            "task": "text-classification",
            **{option: data / f"datasets/sst2/{part}_binary_sent.csv" for option, part in parts.items()},
            "columns": COLUMNS,
            **start,
            **FINETUNING,
            **shared,
            "output": work / "finetuned",
        },
    )
    return result


def _last(command: str, options: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The last row of a command, and the seconds that it took."""
    rows, seconds = rows_of([*words(command, options), "--force"])
    return rows[-1], seconds


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _add(file: Path, result: dict[str, Any], framework: str, name: str, seed: str) -> None:
    """Writes a result beside the others; another process may do so at the same time."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = {row: {} for row in ROWS} | _read(file)
        results[name].setdefault(framework, {})[seed] = result
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with text/ and datasets/sst2/")
    parser.add_argument("--framework", choices=FRAMEWORKS, default=FRAMEWORKS[0], help="default: torch")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--pretraining", nargs="+", default=[], metavar="OPTION=VALUE", help="other than in the table")
    parser.add_argument("--json", type=Path, default=JSON, help="default: docs/pretraining_scores.json")
    parser.add_argument("--work", type=Path, default=ROOT / "build/pretraining_scores", help="where models go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
