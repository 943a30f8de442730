"""Trains small models on real data sets with `deberta finetune`, in both frameworks, and writes the scores.

    python -m tools.task_scores --data-sets FOLDER
    python -m tools.task_scores --data-sets FOLDER --only sst2 --seeds 0

Every data set has one first checkpoint, with a vocabulary trained on its training data, from which all runs start.
Writes `docs/task_scores.json` and the table in `docs/finetuning.md` between its two marks; what was measured before and
is not measured again stays.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deberta_dual.finetuning import FINETUNE_TASKS, load_data
from tools.deberta_command import ROOT, rows_of, words
from tools.task_scores.baselines import BASELINES
from tools.task_scores.datasets import DATA_SETS, DataSet, Files
from tools.task_scores.page import write_table
from tools.task_scores.vocabulary import LENGTH, train_vocabulary

JSON = ROOT / "docs/task_scores.json"
FRAMEWORKS = ("torch", "tf")
SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": LENGTH,
    "position_buckets": 32,
    "initializer_range": 0.05,  # 0.02 is for widths from 384 on
}
TRAINING = {"batch_size": 32, "learning_rate": 5e-4}


def main() -> None:
    """Runs everything."""
    arguments = _parse()
    results = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        pending = []
        for name in arguments.only:
            files, columns = prepare(name, arguments.data_sets, arguments.work)
            results[name] = {**results.get(name, {}), "baselines": baselines(DATA_SETS[name], files, columns)}
            for seed in arguments.seeds:
                for framework in FRAMEWORKS:
                    output = arguments.work / name / f"{framework}-{seed}"
                    command = command_of(
                        DATA_SETS[name], files, arguments.work / name / "start", framework, seed, output
                    )
                    pending.append((name, framework, str(seed), pool.submit(run, command)))
        for name, framework, seed, future in pending:
            results[name].setdefault(framework, {})[seed] = future.result()
            JSON.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(name, framework, seed, json.dumps(results[name][framework][seed]["test"]), flush=True)
    write_table(results, ROOT / "docs")


def prepare(name: str, source: Path, work: Path) -> tuple[Files, dict[str, str]]:
    """Makes the files of a data set and the checkpoint that training starts from."""
    from deberta_core import DebertaV2Config
    from deberta_core.checkpoint import save_weights
    from deberta_core.initialization import draw_parameters
    from deberta_core.parameters import expand

    data_set, folder = DATA_SETS[name], work / name
    folder.mkdir(parents=True, exist_ok=True)
    files = data_set.prepare(source, folder)
    columns = dict(pair.split("=") for pair in data_set.options.get("columns", ()))
    start = folder / "start"
    if not start.exists():
        task = FINETUNE_TASKS[data_set.task]
        texts = [text for record in load_data(data_set.task, [files["data"]], columns) for text in task.texts(record)]
        tokenizer = train_vocabulary(texts)
        config = DebertaV2Config.preset("deberta-v3-small", vocab_size=len(tokenizer), **SIZES)
        config.save_pretrained(start)
        save_weights(start, config, None, draw_parameters(config, None, expand(config, None), seed=0))
        tokenizer.save_pretrained(start)
    return files, columns


def baselines(data_set: DataSet, files: Files, columns: dict[str, str]) -> dict[str, Any]:
    """What simpler methods reach on the same data."""
    training, test = (load_data(data_set.task, [files[part]], columns) for part in ("data", "test_data"))
    return BASELINES[data_set.task](training, test)


def command_of(data_set: DataSet, files: Files, start: Path, framework: str, seed: int, output: Path) -> list[str]:
    """The command that trains a model."""
    options: dict[str, Any] = {
        "task": data_set.task,
        **files,
        "model": start,
        "framework": framework,
        "seed": seed,
        "device": "cpu",
        **TRAINING,
        **data_set.options,
        "output": output,
    }
    return [*words("finetune", options), "--force"]


def run(command: Sequence[str]) -> dict[str, Any]:
    """Runs the command: its rows, and how long it took."""
    (*rows, last), seconds = rows_of(command)
    test = {name.removeprefix("test_"): value for name, value in last.items()}
    return {"test": test, "losses": [row["loss"] for row in rows], "seconds": seconds}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data-sets",
        type=Path,
        required=True,
        help="the folder with sst2, conjnli, wnut17, xquad, piqa; beside it text/tinyshakespeare.txt",
    )
    parser.add_argument("--only", nargs="+", choices=tuple(DATA_SETS), default=tuple(DATA_SETS), help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, a core each; default: 2")
    parser.add_argument("--work", type=Path, default=ROOT / "build/task_scores", help="where models and files go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
