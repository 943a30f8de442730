"""Bulk scoring on a Ray cluster: an actor pool answers a data set, in order, checkpointed by its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.arguments import row_of
from deberta_core.errors import InputError
from deberta_core.file_system import sync
from deberta_dual.data.load import Named, read_examples
from deberta_dual.data.results import ERROR, RESULTS, answer_records
from deberta_dual.data.streams import need_pyarrow
from deberta_dual.data.writers import PART
from deberta_dual.pipelines.factory import known_task, pipeline

SETTINGS = "score.json"  # in the output folder: what its files were made by
# Results that are numbers; all others are text, lists and objects as JSON.
_TYPES = {"score": "float64", "perplexity": "float64", "start": "int64", "end": "int64", "choice": "int64"}
_VECTORS = {("sentence-embeddings", "embedding"), ("multiple-choice", "scores"), ("zero-shot-classification", "scores")}


def score(
    dataset: Any,
    model: str | Path,
    task: str,
    *,
    output: str | Path | None = None,
    key: str = "id",
    columns: Named = None,
    actors: int = 2,
    batch_size: int = 1024,
    actor_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Answers the rows of a data set as `deberta run` answers records.

    Each actor loads the model once. One that dies is started again, and its batch is given to another.

    Args:
        dataset: a `ray.data.Dataset`; its columns are read as `deberta run` reads those of a file.
        model: a folder that every machine can read, or a hub id.
        task: a name of `deberta_dual.pipelines.PIPELINES`.
        output: a folder that every machine can write to. Each batch becomes a Parquet file there as soon as it is
            answered; a second call with the same folder and the same settings answers the rest alone. None: nothing is
            kept.
        key: the column that tells rows apart, of numbers or texts; no value may be there twice.
        columns: which column is what, as in `deberta_dual.load_data`; others are guessed by their names.
        actors: how many there are.
        batch_size: rows that an actor answers at a time, and of a file.
        actor_options: what an actor needs, by Ray's names, such as `{"num_gpus": 1}`; of CPUs 1 if nothing is said.
        **options: of `deberta_dual.pipeline`, such as `dtype="bfloat16"` or `candidate_labels=[...]`.

    Returns:
        a `ray.data.Dataset` in the order of the key: the key, the results, and "error", which says why a row has none.
        Lists and objects are JSON texts; vectors are lists of numbers.

    Raises:
        InputError: an argument cannot be used, Ray or pyarrow is missing, `output` has files of other settings, or
            some keys are there twice.
    """
    ray = _need_ray()
    task = known_task(task)
    row_of(RESULTS, "task", task)
    if actors < 1 or batch_size < 1:
        raise InputError(f"actors={actors} and batch_size={batch_size} must be 1 or more.")
    names = schema.names if (schema := dataset.schema()) else []
    if key not in names:
        raise InputError(f"key={key!r} is no column. There are: {', '.join(names)}.")
    folder = None if output is None else Path(output).resolve()
    waiting = dataset
    if folder is not None:
        _claim(folder, {"model": str(model), "task": task, "key": key, "columns": columns, "options": options})
        for part in folder.glob(f"*{PART}"):  # of an actor that died
            part.unlink()
        if any(folder.glob("*.parquet")):
            done = np.array([row[key] for row in ray.data.read_parquet(str(folder), columns=[key]).iter_rows()])
            waiting = dataset.map_batches(_without(key, ray.put(done)), batch_format="pyarrow")
    about = {"model": str(model), "task": task, "key": key, "columns": columns, "options": options, "folder": folder}
    answered = waiting.map_batches(
        Scorer,
        fn_constructor_kwargs=about,
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        **{"num_cpus": 1, **(actor_options or {})},
    )
    if folder is None:
        return answered.sort(key)
    for _ in answered.iter_batches(batch_size=None):  # answers are in the files; what comes here are their numbers
        pass
    written = ray.data.read_parquet(str(folder)).sort(key)
    if (found := written.count()) != (wanted := dataset.count()):
        raise InputError(
            f"{folder} has {found} rows, but the data {wanted}: values of {key} are there twice, or the data have "
            f"changed. Give every row a {key} of its own, or another output."
        )
    return written


class Scorer:
    """What an actor does: it loads a model once, and answers tables.

    Args:
        model: a folder or hub id.
        task: a name of `RESULTS`.
        key: the column that tells rows apart.
        columns: as in `read_examples`.
        options: of the pipeline.
        folder: where a file is written for each table; None: nowhere.
    """

    def __init__(
        self, model: str, task: str, key: str, columns: Named, options: Mapping[str, Any], folder: Path | None
    ) -> None:
        self._task, self._key, self._columns, self._folder = task, key, columns, folder
        self._run = pipeline(task, model, **options)
        self._arrow = need_pyarrow("scoring")

    def __call__(self, table: Any) -> Any:
        """Answers a `pyarrow.Table`, row by row, in order; where there is a folder it tells the number of rows."""
        keys = table.column(self._key).combine_chunks()
        records = read_examples(self._task, table.drop([self._key]).to_pylist(), self._columns, labelled=False)
        rows = list(answer_records(self._task, self._run, records, stop=False))
        answers = self._table(keys, rows)
        if self._folder is None:
            return answers
        _write(self._folder, str(keys.to_pylist()), answers)
        return self._arrow.table({"rows": [len(keys)]})

    def _table(self, keys: Any, rows: list[dict[str, Any]]) -> Any:
        arrays = {self._key: keys}
        for name in (*RESULTS[self._task], ERROR):
            values = [row.get(name) for row in rows]
            if (self._task, name) in _VECTORS:
                kind = self._arrow.list_(self._arrow.float64())
            elif name in _TYPES:
                kind = self._arrow.type_for_alias(_TYPES[name])
            else:
                kind = self._arrow.string()
                values = [one if one is None or isinstance(one, str) else _json(one) for one in values]
            arrays[name] = self._arrow.array(values, kind)
        return self._arrow.table(arrays)


def _need_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("scoring on a cluster needs Ray. Run: pip install 'deberta-dual[ray]'.") from None
    return ray


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Says in the folder what its files are made by, or refuses one that says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    file, now = folder / SETTINGS, json.loads(json.dumps(settings, default=str))
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if changed := [f"{name}={before.get(name)!r}" for name in now if now[name] != before.get(name)]:
            raise InputError(f"{folder} has answers made with {', '.join(changed)}. Give the same, or another output.")
    elif any(folder.iterdir()):
        raise InputError(f"{folder} is not empty, and no output of this function. Give another one.")
    file.write_text(json.dumps(now, indent=2), encoding="utf-8")


def _without(key: str, done: Any) -> Any:
    """Takes rows whose keys are done out of tables."""

    def rest(table: Any) -> Any:
        import ray

        keys = table.column(key).to_numpy(zero_copy_only=False)
        return table.filter(~np.isin(keys, ray.get(done)))

    return rest


def _write(folder: Path, keys: str, table: Any) -> None:
    """Writes a file that is named by its keys, so that a batch that is answered twice is one file."""
    from pyarrow import parquet

    file = folder / f"{hashlib.sha256(keys.encode()).hexdigest()[:16]}.parquet"
    part = file.with_name(f"{file.name}.{os.getpid()}{PART}")
    parquet.write_table(table, part)
    sync(part)
    part.replace(file)
    sync(folder)
