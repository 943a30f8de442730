"""A whole job of fine-tuning: from files of examples and a checkpoint to a checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint import checkpoint_folder
from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, InputError, WeightError, name_list, one_of
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import expand
from deberta_core.tasks import BACKBONE_PREFIX
from deberta_dual.backends import choose_framework, get_backend
from deberta_dual.data.formats import AUTO
from deberta_dual.data.load import Named, Sources, load_data
from deberta_dual.data.records import Note, Record
from deberta_dual.data.streams import UTF8
from deberta_dual.finetuning.card import CARD, model_card
from deberta_dual.finetuning.folder import RunFolder
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.rates import parameter_rates
from deberta_dual.finetuning.run import Report, Run, is_main
from deberta_dual.finetuning.schedule import Schedule
from deberta_dual.finetuning.start import Start
from deberta_dual.finetuning.tasks import FINETUNE_TASKS, FinetuneTask, Head
from deberta_dual.finetuning.tasks.base import at, usual_length
from deberta_dual.pipelines.examples import check_count

EVALUATION_ROWS = 32  # in a batch; the result does not depend on it


def finetune(
    task: str,
    data: Sources,
    output: str | Path,
    start: Start,
    training: TrainingOptions | None = None,
    *,
    evaluation: Sources = (),
    test: Sources = (),
    eval_share: float = 0.0,
    columns: Named = None,
    input_format: str = AUTO,
    encoding: str = UTF8,
    problem_type: str | None = None,
    label_scheme: str | None = None,
    max_length: int | None = None,
    long_texts: str | None = None,
    framework: str | None = None,
    device: Any = None,
    resume: bool = False,
    force: bool = False,
    report: Report | None = None,
    note: Note | None = None,
) -> list[dict[str, Any]]:
    """Trains a model and saves it, with its tokenizer, in a folder that `pipeline` reads, in either framework.

    The same data, start and options give the same numbers in PyTorch and Keras but for dropout and rounding, and in
    PyTorch also in any number of processes started by `torchrun`. After every interval `output` holds the best model so
    far, and the state from which a run that was killed goes on to the same end.

    Args:
        task: a name of `FINETUNE_TASKS`.
        data: the training data: files or a data set, see `read_examples`.
        output: the folder to save the model in.
        start: the checkpoint, or the preset, that training starts from.
        training: batch size, learning rate, epochs and so on; None: the defaults.
        evaluation: evaluation data, by which the best model is chosen; none: the last is kept.
        test: test data, on which the best model is scored at the end; without them and without evaluation data it is
            scored on the training data.
        eval_share: the share of the training data that is held out as evaluation data, chosen by the seed.
        columns: which column is what, see `parse_columns`; others are guessed by their names.
        input_format: of files; "auto": by their names.
        encoding: of files of text.
        problem_type: of text-classification; None: what the labels show.
        label_scheme: of token-classification, what labels are turned into before they are learnt, a name of `SCHEMES`;
            None: the checkpoint's, or else they are learnt as they are.
        max_length: maximum sequence length in tokens; None: what is usual for the task, or the model's limit.
        long_texts: "truncate", "windows" or "error", of texts that are longer, where the task can choose; None: as is
            usual.
        framework: "torch" or "tf"; None: what is installed, PyTorch first.
        device: such as "cuda:1"; None: a GPU if there is one.
        resume: go on with the unfinished run in `output`, if there is one.
        force: replace the checkpoint in `output`, once the first new model is there; nothing but one is replaced.
        report: is given every row when it is there.
        note: is told what was guessed of the data; None: a log of the level INFO.

    Returns:
        the rows, as in `metrics.jsonl`: "step", "epoch", "loss" (the mean since the row before), "learning_rate",
        "tokens_per_second" and the scores, "eval_..."; the last one has "test_...", or without test and evaluation data
        "train_...".

    Raises:
        InputError: an argument or an example cannot be used, or `output` holds something else, or cannot be
            written.
        WeightError: the checkpoint does not fit, or the loss is no longer finite.
        ConfigError: config.json, or a change to it, is wrong.
        TokenizationError: the tokenizer's files are missing or wrong.
        OSError: a file cannot be read or written.
    """
    if task not in FINETUNE_TASKS:
        raise InputError(one_of("task", task, tuple(FINETUNE_TASKS)))
    cls, training = FINETUNE_TASKS[task], training or TrainingOptions()
    for place in (*_paths(data), *_paths(evaluation), *_paths(test), *start.folders()):
        if place.resolve().is_relative_to(Path(output).resolve()):
            raise InputError(f"{place} is in output={str(output)!r}, whose model is replaced. Give another output.")
    check_count("max_length", max_length, least=8, none="for what is usual")
    if not (isinstance(eval_share, int | float) and 0 <= eval_share < 1) or (eval_share and evaluation):
        raise InputError(
            f"eval_share={eval_share!r} is not allowed. Give a share below 1, or evaluation data, not both."
        )
    if training.patience is not None and not evaluation and not eval_share:
        raise InputError(f"patience={training.patience} needs examples to judge the model by. Give evaluation data.")
    chosen = choose_framework(framework)
    folder = RunFolder(output, resume=resume, force=force, is_main=is_main())
    if resume and folder.is_finished():
        warnings.warn(f"The run in {output} is at its end; begin anew with --force.", DebertaWarning, stacklevel=2)
        return folder.read_metrics()
    reading: dict[str, Any] = {"input_format": input_format, "encoding": encoding, "note": note}
    records, judged, tested = (_records(cls, part, columns, reading) for part in (data, evaluation, test))
    if eval_share:
        records, judged = _held_out(cls, records, eval_share, training.seed)
    is_scored = not judged and not tested
    source = None if start.model is None else checkpoint_folder(start.model)
    config = start.config(source)
    tokenizer = start.make_tokenizer(source, config, [text for record in records for text in cls.texts(record)])
    if label_scheme is not None:
        config = config.replace(extra={**config.extra, **cls.labels_in(label_scheme)})
    head = cls.head(records, config, problem_type)
    config = _fitted(config.replace(**head.changes), tokenizer, start)
    length = max_length or usual_length(cls, tokenizer, config)
    if config.position_biased_input and length > config.max_position_embeddings:
        raise InputError(
            f"max_length={length} is more than max_position_embeddings={config.max_position_embeddings}, and the model "
            f"adds absolute positions. Lower it."
        )
    work = cls(tokenizer, max_length=length, batch_size=EVALUATION_ROWS, long_texts=long_texts)
    parts = [work.features(part, config, judged=part is not records) for part in (records, judged, tested)]
    if work.truncated:
        what = f"{work.truncated} of {sum(map(len, (records, judged, tested)))} examples are longer than"
        (note or logging.getLogger(__name__).warning)(f"{what} max_length={length} tokens and were cut.")
    settings = {"batch_size": training.batch_size, "accumulation": training.accumulation, "epochs": training.epochs}
    schedule = Schedule(parts[0], work.collate, work.count, **settings, seed=training.seed, draw=work.drawn)

    backend = get_backend(chosen)
    model, missing, mismatched = backend.trainable_model(config, cls.task, source, training.dtype, device)
    fresh = _fresh_names(config, cls.task, (*missing, *mismatched), head)
    if source is not None and (untold := sorted(fresh - {*mismatched})):
        text = f"{start.model} has no {name_list(untold)} for this task and these classes. They start fresh."
        warnings.warn(text, DebertaWarning, stacklevel=2)
    backend.set_parameters(model, draw_parameters(config, cls.task, fresh, training.seed))
    judge = partial(work.score, backend.array_model(model, device), judged, parts[1]) if judged else None
    identity = {
        "task": task,
        "framework": chosen,
        "start": str(start.model or start.preset),
        "config": json.loads(json.dumps(config.to_dict())),
        "data": dict(zip(("training", "evaluation", "test"), map(_digest, parts), strict=True)),
        **asdict(training),
    }

    def save(target: Path) -> None:
        model.save_pretrained(target, format="safetensors", max_shard_size=None)
        tokenizer.save_pretrained(target)

    folder.begin()
    rates = parameter_rates(expand(config, cls.task), config, training.layer_decay, training.weight_decay)
    with Run(schedule, training, rates, folder, identity, judge, cls.metric(config), save, report or _ignore) as run:
        backend.train(model, run, device)
        rows = run.rows
    if is_main() and (tested or is_scored):
        best = backend.array_model(backend.load_model(folder.path, cls.task, device), device)
        name, examples, features = ("train", records, parts[0]) if is_scored else ("test", tested, parts[2])
        scores = work.score(best, examples, features)
        rows.append({f"{name}_{metric}": value for metric, value in scores.items()})
        (report or _ignore)(rows[-1])
    sizes = {"training": len(records), "evaluation": len(judged), "test": len(tested)}
    base = None if start.model is None else str(start.model)
    folder.finish(rows, {CARD: model_card(config, identity, sizes, rows, base)})
    return rows


def _held_out(
    cls: type[FinetuneTask], records: list[Record], share: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """The training data and the evaluation data, both in the order of the file; groups are not divided."""
    owners = [number if (group := cls.group(record)) is None else group for number, record in enumerate(records)]
    groups = {group: number for number, group in enumerate(dict.fromkeys(owners))}
    count = round(share * len(groups))
    if not 0 < count < len(groups):
        raise InputError(f"eval_share={share} of {len(groups)} examples leaves nothing for one side. Choose another.")
    held = set(np.random.default_rng(seed).permutation(len(groups))[:count].tolist())
    parts: tuple[list[Record], list[Record]] = ([], [])
    for group, record in zip(owners, records, strict=True):
        parts[groups[group] in held].append(record)
    return parts


def _paths(data: Sources) -> list[Path]:
    """Those of the data that are files."""
    parts = [data] if isinstance(data, str | Path) else data if isinstance(data, list | tuple) else []
    return [Path(part) for part in parts if isinstance(part, str | Path)]


def _records(cls: type[FinetuneTask], data: Sources, columns: Named, reading: dict[str, Any]) -> list[Record]:
    if isinstance(data, list | tuple) and not data:
        return []
    records = load_data(cls.name, data, columns, **reading)
    for record in records:
        with at(record):
            cls.check(record)
    return records


def _fitted(config: BaseConfig, tokenizer: Any, start: Start) -> BaseConfig:
    """The configuration with the tokenizer's vocabulary; one of a checkpoint must be large enough as it is."""
    if start.preset is not None:
        return config.replace(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"the tokenizer has {len(tokenizer)} tokens, but the model vocab_size={config.vocab_size}. Use that "
            f"of the model."
        )
    return config


def _fresh_names(config: BaseConfig, task: str, missing: Sequence[str], head: Head) -> set[str]:
    """The parameters that start fresh: what the checkpoint lacks, and a classifier of other classes.

    Raises:
        WeightError: it lacks a part of the backbone, or has one of another shape.
    """
    names = expand(config, task)
    backbone = [name for name in missing if name.startswith(BACKBONE_PREFIX)]
    if backbone and len(missing) < len(names):
        raise WeightError(f"The checkpoint does not fit the configuration: {name_list(backbone)}. Change fewer fields.")
    return {*missing, *(name for name in names if head.is_new and name.startswith("classifier."))}


def _digest(features: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(features).encode()).hexdigest()


def _ignore(row: Mapping[str, Any]) -> None:
    pass
