"""A whole job of fine-tuning: from files of examples and a checkpoint to a checkpoint, or to several."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import DebertaWarning, InputError, one_of
from deberta_dual.backends import choose_framework
from deberta_dual.data.formats import AUTO
from deberta_dual.data.load import Named, Sources, load_data
from deberta_dual.data.records import Note, Record
from deberta_dual.data.streams import UTF8
from deberta_dual.finetuning.folder import Files, RunFolder
from deberta_dual.finetuning.folds import held_out
from deberta_dual.finetuning.options import LARGEST_SEED, TrainingOptions
from deberta_dual.finetuning.rate_search import search_rate
from deberta_dual.finetuning.run import Report
from deberta_dual.finetuning.several import train_folds, train_seeds
from deberta_dual.finetuning.start import Start, read_choices
from deberta_dual.finetuning.tasks import FINETUNE_TASKS, FinetuneTask
from deberta_dual.finetuning.tasks.base import at, usual_length
from deberta_dual.finetuning.train import Examples, Setting, train_model
from deberta_dual.pipelines.examples import check_count
from deberta_dual.processes import is_main


def finetune(
    task: str,
    data: Sources,
    output: str | Path,
    start: Start | None = None,
    training: TrainingOptions | None = None,
    *,
    eval_data: Sources = (),
    test_data: Sources = (),
    eval_share: float = 0.0,
    folds: int | None = None,
    seeds: int | None = None,
    learning_rate_search: bool = False,
    columns: Named = None,
    input_format: str = AUTO,
    encoding: str = UTF8,
    problem_type: str | None = None,
    label_scheme: str | None = None,
    max_length: int | None = None,
    long_texts: str | None = None,
    loss: str | None = None,
    pooling: str | None = None,
    framework: str | None = None,
    device: Any = None,
    resume: bool = False,
    force: bool = False,
    tensorboard: bool = False,
    report: Report | None = None,
    note: Note | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Trains a model and saves it, with its tokenizer, in a folder that `pipeline` reads, in either framework.

    The same data, start and options give the same numbers in PyTorch and Keras but for dropout and rounding, and in
    PyTorch also in any number of processes started by `torchrun`. After every interval `output` holds the best model so
    far, and the state from which a run that was killed goes on to the same end.

    Args:
        task: a name of `FINETUNE_TASKS`.
        data: the training data: files or a data set, see `read_examples`.
        output: the folder to save the model in.
        start: the checkpoint, or the preset, that training starts from; None: made of `options`.
        training: batch size, learning rate, epochs and so on; None: made of `options`.
        eval_data: evaluation data, by which the best model is chosen; none: the last is kept.
        test_data: test data, on which the best model is scored at the end; without them and without evaluation data it
            is scored on the training data.
        eval_share: the share of the training data that is held out as evaluation data, chosen by the seed.
        folds: cross-validation: in how many parts the training data are divided, by class and by group. For each,
            `output` gets a model in a folder of its own, `fold-0` and so on, that learns from the others and is chosen
            by it; `predictions.jsonl` has what each record is answered by the model that has not seen it.
        seeds: how many times all is done, with seeds from that of `training` on, each in a folder `seed-0` and so on.
        learning_rate_search: whether the learning rate is chosen by a range test, see `search_rate`.
        columns: which column is what, see `parse_columns`; others are guessed by their names.
        input_format: of files; "auto": by their names.
        encoding: of files of text.
        problem_type: of text-classification; None: what the labels show.
        label_scheme: of token-classification, what labels are turned into before they are learnt, a name of `SCHEMES`;
            None: the checkpoint's, or else they are learnt as they are.
        max_length: maximum sequence length in tokens; None: what is usual for the task, or the model's limit.
        long_texts: "truncate", "windows" or "error", of texts that are longer, where the task can choose; None: as is
            usual.
        loss: of a task with several, see its class in `deberta_dual.finetuning.tasks`; None: as is usual.
        pooling: of sentence-embeddings; None: that of the checkpoint's folder, or "mean".
        framework: "torch" or "tf"; None: what is installed, PyTorch first.
        device: such as "cuda:1"; None: a GPU if there is one.
        resume: go on with the unfinished run in `output`, if there is one.
        force: replace the checkpoint in `output`, once the first new model is there; nothing but one is replaced.
        tensorboard: whether loss, learning rate and scores are also written for TensorBoard, into `tensorboard` beside
            each model.
        report: is given every row when it is there.
        note: is told what was guessed of the data; None: a log of the level INFO.
        **options: fields of `Start` and of `TrainingOptions` by their names, instead of `start` and `training`;
            `config` for `changes`, as the command calls it.

    Returns:
        the rows, as in `metrics.jsonl`: "step", "epoch", "loss" (the mean since the row before), "learning_rate",
        "tokens_per_second" and the scores, "eval_..."; the last one has "test_...", or without test and evaluation data
        "train_...". Of folds and seeds: the scores of each, and a last row with "mean", "spread" (standard deviation)
        and "best".

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
    cls = FINETUNE_TASKS[task]
    choices = read_choices((Start, start), (TrainingOptions, training), options)
    start, training = choices
    teacher = [] if training.teacher is None else [training.teacher]
    for place in (*_paths(data), *_paths(eval_data), *_paths(test_data), *_paths(teacher), *start.folders()):
        if place.resolve().is_relative_to(Path(output).resolve()):
            raise InputError(f"{place} is in output={str(output)!r}, whose model is replaced. Give another output.")
    cls.check_choices(long_texts=long_texts, loss=loss, pooling=pooling)
    check_count("max_length", max_length, least=8, none="for what is usual")
    _check_parts(eval_data, eval_share, folds, seeds, training)
    chosen = choose_framework(framework, trains="finetuning")
    folder = RunFolder(output, resume=resume, force=force, is_main=is_main())
    if resume and folder.is_finished():
        warnings.warn(f"The run in {output} is at its end; begin anew with --force.", DebertaWarning, stacklevel=2)
        return folder.read_metrics()
    reading: dict[str, Any] = {"input_format": input_format, "encoding": encoding, "note": note}
    examples = Examples(*(_records(cls, part, columns, reading) for part in (data, eval_data, test_data)))
    if eval_share:
        examples = _held_out(cls, examples, eval_share, training.seed)
    records = examples.training
    source = None if start.model is None else checkpoint_folder(start.model)
    config = start.config(source)
    tokenizer = start.make_tokenizer(source, config, [text for record in records for text in cls.texts(record)])
    if label_scheme is not None:
        config = config.replace(extra={**config.extra, **cls.labels_in(label_scheme)})
    head = cls.head(records, config, problem_type, loss)
    config = start.fitted(config.replace(**head.changes), tokenizer)
    own = {} if start.model is None else cls.folder_choices(start.model)
    length = max_length or own.get("max_length") or usual_length(cls, tokenizer, config)
    if config.position_biased_input and length > config.max_position_embeddings:
        raise InputError(
            f"max_length={length} is more than max_position_embeddings={config.max_position_embeddings}, and the model "
            f"adds absolute positions. Lower it."
        )
    setting = Setting(
        cls=cls,
        start=start,
        source=source,
        config=config,
        head=head,
        tokenizer=tokenizer,
        length=length,
        choices={"long_texts": long_texts, "loss": loss, "pooling": pooling or own.get("pooling")},
        framework=chosen,
        device=device,
        tensorboard=tensorboard,
        report=report or _ignore,
        note=note,
    )
    training.check_use(cls.task, config, setting.task().comparison() is not None, chosen, training.accumulation)
    first: Files = {}
    if learning_rate_search and folder.identity():
        training = replace(training, learning_rate=folder.identity()["learning_rate"])
    elif learning_rate_search:
        training, first = search_rate(setting, records, training)
    if folds is not None:
        return train_folds(setting, examples, folder, training, folds, first)
    if seeds is not None:
        return train_seeds(setting, examples, folder, training, seeds, first)
    return train_model(setting, examples, folder, training, first=first)


def _check_parts(
    eval_data: Sources, eval_share: Any, folds: int | None, seeds: int | None, training: TrainingOptions
) -> None:
    """Raises InputError unless what the data are divided into goes together."""
    if not (isinstance(eval_share, int | float) and 0 <= eval_share < 1) or (eval_share and _is_given(eval_data)):
        raise InputError(
            f"eval_share={eval_share!r} is not allowed. Give a share below 1, or evaluation data, not both."
        )
    for name, value in (("folds", folds), ("seeds", seeds)):
        check_count(name, value, least=2, none="for one model")
    if folds is not None and (eval_share or _is_given(eval_data) or seeds is not None):
        raise InputError(f"folds={folds} hold out the evaluation data themselves. Leave out other ones, and seeds.")
    if training.patience is not None and not _is_given(eval_data) and not eval_share and folds is None:
        raise InputError(f"patience={training.patience} needs examples to judge the model by. Give evaluation data.")
    if seeds is not None and training.seed + seeds - 1 > LARGEST_SEED:
        raise InputError(f"seed={training.seed} leaves no {seeds} seeds up to {LARGEST_SEED}. Lower it.")


def _is_given(data: Sources) -> bool:
    return not (isinstance(data, list | tuple) and not data)


def _held_out(cls: type[FinetuneTask], examples: Examples, share: float, seed: int) -> Examples:
    """The examples with a part of the training data as evaluation data, both in the order of the file."""
    records = examples.training
    chosen = held_out([cls.group(record) for record in records], share, seed)
    sides: tuple[list[Record], list[Record]] = ([], [])
    for record, is_held in zip(records, chosen.tolist(), strict=True):
        sides[is_held].append(record)
    return Examples(*sides, examples.test)


def _paths(data: Sources) -> list[Path]:
    """Those of the data that are files."""
    parts = [data] if isinstance(data, str | Path) else data if isinstance(data, list | tuple) else []
    return [Path(part) for part in parts if isinstance(part, str | Path)]


def _records(cls: type[FinetuneTask], data: Sources, columns: Named, reading: dict[str, Any]) -> list[Record]:
    if not _is_given(data):
        return []
    records = load_data(cls.name, data, columns, **reading)
    for record in records:
        with at(record):
            cls.check(record)
    return records


def _ignore(row: Mapping[str, Any]) -> None:
    pass
