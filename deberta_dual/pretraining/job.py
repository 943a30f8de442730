"""A whole job of pretraining: from files of text to a model that fine-tunes, and one that fills masks."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder, load_config
from deberta_core.checkpoint.formats import FORMATS, GENERATOR_FILES
from deberta_core.checkpoint.pairs import check_pair, generator_config_of
from deberta_core.config import BaseConfig
from deberta_core.config_place import CONFIG_FILE, GENERATOR_CONFIG
from deberta_core.errors import DebertaWarning, InputError, TokenizationError
from deberta_core.initialization import draw_parameters
from deberta_core.layout import GENERATOR, TENSORBOARD
from deberta_core.parameters import DELTA_NAMES, expand
from deberta_dual.backends import choose_framework, get_backend, pretraining_backend
from deberta_dual.backends.protocol import PretrainingModel, PretrainingStart
from deberta_dual.data.load import Named
from deberta_dual.data.records import Note
from deberta_dual.finetuning.card import CARD, pretraining_card
from deberta_dual.finetuning.curve import Point
from deberta_dual.finetuning.events import EventFile
from deberta_dual.finetuning.folder import RunFolder
from deberta_dual.finetuning.run import Report
from deberta_dual.finetuning.start import Start, read_choices
from deberta_dual.pretraining.batches import held_out_batches
from deberta_dual.pretraining.corpus import Corpus
from deberta_dual.pretraining.evaluation import PretrainingJudge
from deberta_dual.pretraining.flops import training_flops
from deberta_dual.pretraining.run import PretrainingRun
from deberta_dual.pretraining.schedule import CorpusSchedule
from deberta_dual.pretraining.training import MLM, PretrainingOptions
from deberta_dual.processes import is_main, own_process

VOCABULARY_TEXT = 200_000_000  # characters of the corpus that a vocabulary is trained on, at most
_HELD_OUT_ROWS = 512  # that an evaluation reads, at most


def pretrain(
    corpus: str | Path | Sequence[str | Path],
    output: str | Path,
    start: Start | None = None,
    training: PretrainingOptions | None = None,
    *,
    generator: str | Path | None = None,
    columns: Named = None,
    input_format: str = "auto",
    documents: str = "paragraph",
    held_out: float = 0.01,
    on_error: str = "raise",
    workers: int = 1,
    framework: str | None = None,
    device: Any = None,
    resume: bool = False,
    force: bool = False,
    tensorboard: bool = False,
    report: Report | None = None,
    note: Note | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Pretrains a model from fresh weights, or goes on with one on text of another kind, in either framework.

    Under the objective "rtd" `output` is the discriminator, an ordinary checkpoint to fine-tune, with the generator's
    files beside it as published ones lie there; the folder `generator` in it is the generator as an ordinary checkpoint
    of masked LM. Under "mlm" `output` is the masked-LM model.

    Args:
        corpus: files, folders or patterns of text, see `Corpus`.
        output: the folder to save the model in.
        start: the checkpoint, or the preset, that training starts from; None: made of `options`.
        training: objective, steps, batch size and so on; None: made of `options`.
        generator: under "rtd" with a checkpoint: the generator's folder or weight file. None: beside the
            discriminator where there is one; else made of every second layer of it, with a warning.
        columns: of files of records, the column of the text.
        input_format: of the files; "auto": by their names.
        documents: what a document is in plain text: "paragraph", between blank lines, or "line".
        held_out: share of the documents that the model is judged by and does not learn from; 0: it is not judged.
        on_error: "raise", or "skip" what cannot be read and tell `note`.
        workers: processes that tokenize ahead.
        framework: "torch" or "tf"; None: what is installed, PyTorch first.
        device: such as "cuda:1"; None: a GPU if there is one.
        resume: go on with the unfinished run in `output`, if there is one; to the very same end.
        force: replace the checkpoint in `output`, once the first new model is there.
        tensorboard: whether loss, learning rate and scores are also written for TensorBoard.
        report: is given every row when it is there.
        note: is told what was passed over of the corpus; None: a log.
        **options: fields of `Start` and of `PretrainingOptions` by their names; `config` for `changes`.

    Returns:
        the rows, as in `metrics.jsonl`: "step", "loss", under "rtd" also "mlm_loss" and "rtd_loss", "learning_rate",
        "tokens_per_second", "flop_utilisation" (of what one large product reaches here), and of the held-out text
        "eval_loss" and "eval_accuracy" of masked tokens, under "rtd" also "eval_rtd_loss" and "eval_rtd_f1".

    Raises:
        InputError: an argument or a text cannot be used, the corpus or an option is another one than that of the run
            to resume, or `output` cannot be written.
        WeightError: the checkpoint does not fit, or the loss is no longer finite; the last state stays.
        ConfigError: config.json, or a change to it, is wrong; or generator and discriminator do not fit.
        TokenizationError: the tokenizer's files are missing or wrong.

    Source:
        NUMERICS 8; arXiv 2111.09543 (DeBERTaV3); arXiv 2006.03654, appendix A.
    """
    choices = read_choices((Start, start), (PretrainingOptions, training), options)
    start, training = choices
    chosen, process = choose_framework(framework, trains="pretraining"), own_process()
    _check_framework(chosen, process.count, training)
    files = Corpus(
        corpus,
        columns=columns,
        input_format=input_format,
        documents=documents,
        held_out=held_out,
        on_error=on_error,
        note=note,
    )
    for place in (*files.files, *start.folders()):
        if place.resolve().is_relative_to(Path(output).resolve()):
            raise InputError(f"{place} is in output={str(output)!r}, whose model is replaced. Give another output.")
    folder = RunFolder(output, resume=resume, force=force, is_main=is_main())
    if resume and folder.is_finished():
        warnings.warn(f"The run in {output} is at its end; begin anew with --force.", DebertaWarning, stacklevel=2)
        return folder.read_metrics()
    source = None if start.model is None else checkpoint_folder(start.model)
    tokenizer, config, generator_config = _models(start, source, generator, files, training, folder)
    _check_length(config, generator_config, training)
    backend = pretraining_backend(chosen)
    beginning = PretrainingStart(
        config=config,
        generator_config=generator_config,
        folder=source,
        generator=_generator_place(source, generator),
        finds_generator=source is not None and any((source / name).exists() for name in GENERATOR_FILES),
        sharing=training.embedding_sharing,
        rtd_weight=training.rtd_weight,
        drawing={
            "special_ids": tuple(tokenizer.all_special_ids),
            "num_tokens": len(tokenizer),
            "temperature": training.temperature,
        },
        seed=training.seed,
        dtype=training.dtype,
    )
    models = backend.pretraining_model(beginning, device)
    if source is None:
        _draw(get_backend(chosen), models, config, generator_config, training)
    judge = _judge(get_backend(chosen), models, files, tokenizer, training, device) if held_out else None
    identity = {
        "task": "pretraining",
        "framework": chosen,
        "start": str(start.model or start.preset),
        "config": json.loads(json.dumps(config.to_dict())),
        **files.settings(),
        **asdict(training),
    }
    before = folder.state(identity) or {}
    schedule = CorpusSchedule(
        files,
        tokenizer,
        training.batches(),
        steps=training.steps,
        accumulation=training.accumulation,
        first_step=before.get("step", 0),
        state=before.get("corpus"),
        workers=workers,
        process=process.number,
        processes=process.count,
    )

    def save(target: Path) -> None:
        models.save(target)
        tokenizer.save_pretrained(target)
        if models.discriminator is not None:
            (target / GENERATOR).mkdir()
            _same_file(target / GENERATOR_FILES[0], target / GENERATOR / FORMATS["safetensors"].file_name)
            _same_file(target / GENERATOR_CONFIG, target / GENERATOR / CONFIG_FILE)
            tokenizer.save_pretrained(target / GENERATOR)

    events = EventFile(folder.path / TENSORBOARD) if tensorboard and is_main() else None

    def tell(row: Mapping[str, Any]) -> None:
        if report is not None:
            report(row)
        if events is not None:
            events.write(row["step"], {name.replace("_", "/", 1): row[name] for name in row if name != "step"})

    def watch(point: Point) -> None:
        if events is not None:
            events.write(point.step, {"train/loss": point.loss, "train/learning_rate": point.rate})

    flops = _step_flops(config, generator_config, training) // process.count
    peak = _Once(partial(backend.peak_flops, models, training.dtype))
    finite = partial(get_backend(chosen).is_finite, models.model)
    told: dict[str, Any] = {"watch": watch, "is_finite": finite}
    run = PretrainingRun(schedule, training, flops, peak, {}, folder, identity, judge, None, save, tell, **told)
    with schedule, folder.begun(), run:
        backend.pretrain(models, run, device)
    folder.finish(
        run.rows,
        {CARD: pretraining_card(identity, files.files, run.rows, None if source is None else str(start.model))},
    )
    return run.rows


def _models(
    start: Start,
    source: Path | None,
    generator: str | Path | None,
    files: Corpus,
    training: PretrainingOptions,
    folder: RunFolder,
) -> tuple[Any, BaseConfig, BaseConfig | None]:
    """The tokenizer, and the configurations of the model and of its generator, None for masked LM alone."""
    is_mlm = training.objective == MLM
    config = load_config(None, source, "masked_lm", start.changes) if source and is_mlm else start.config(source)
    if source is None and is_mlm and "legacy" not in start.changes:
        config = config.replace(legacy=False)
    if folder.identity():  # a vocabulary that was trained on the corpus lies beside the model
        tokenizer = AutoTokenizer.from_pretrained(folder.path, use_fast=start.vocab_size is None)  # as it began
    else:
        tokenizer = start.make_tokenizer(source, config, _texts(files))
    if tokenizer.mask_token_id is None:
        raise InputError("the tokenizer has no mask_token, which pretraining needs. Load it with one.")
    if source is not None and start.tokenizer is not None:
        _check_vocabulary(tokenizer, source)
    config = start.fitted(config, tokenizer)
    if is_mlm:
        decides = source is None and "mlm_decoder" not in start.changes and config.can_enhance_decoder
        return tokenizer, config.replace(mlm_decoder="enhanced") if decides else config, None
    config = config.replace(mlm_decoder="plain")  # a discriminator fills no masks
    place = _generator_place(source, generator)
    other = load_config(None, place, "masked_lm") if place and place.is_dir() else generator_config_of(config)
    check_pair(other, config, training.embedding_sharing, decoupled=training.updates == "decoupled")
    return tokenizer, config, other


def _check_vocabulary(tokenizer: Any, source: Path) -> None:
    """Refuses a tokenizer whose ids mean something else than the model's: it learnt what its own mean."""
    try:
        own = AutoTokenizer.from_pretrained(source).get_vocab()
    except TokenizationError:
        return  # the folder has none
    given = tokenizer.get_vocab()
    differs = next((token for token in own if given.get(token) != own[token]), None)
    if differs is not None:
        raise InputError(
            f"the vocabulary is not that of {source}: {differs!r:.40} has the id {own[differs]} there and "
            f"{given.get(differs, 'none')} here. Leave the tokenizer out, or begin with a preset instead of a model."
        )


def _check_framework(framework: str, processes: int, training: PretrainingOptions) -> None:
    """Refuses what cannot be sharded."""
    if training.fully_shard and (framework != "torch" or processes == 1):
        raise InputError(
            f"fully_shard spreads a model over processes of PyTorch, which torchrun starts; this is one of {processes} "
            f"of framework={framework!r}. Leave it out, or use torchrun --nproc-per-node N."
        )


def _same_file(file: Path, other: Path) -> None:
    """Makes a file appear under a second name, by a link where the file system has them."""
    try:
        os.link(file, other)
    except OSError:
        shutil.copyfile(file, other)


def _texts(files: Corpus) -> Iterator[str]:
    """What a vocabulary is trained on."""
    length = 0
    for document in files.read():
        yield document.text
        length += len(document.text)
        if length > VOCABULARY_TEXT:
            return


def _generator_place(source: Path | None, generator: str | Path | None) -> Path | None:
    """Where the generator of a checkpoint is: where it is said, or in the folder that an earlier run wrote."""
    if generator is not None:
        return checkpoint_folder(generator)
    if source is not None and (source / GENERATOR).is_dir():
        return source / GENERATOR
    return None


def _check_length(config: BaseConfig, other: BaseConfig | None, training: PretrainingOptions) -> None:
    """Refuses rows that are longer than a table of positions which is read."""
    for one in (config, other):
        reads = one is not None and (one.position_biased_input or one.mlm_decoder == "enhanced")
        if one is not None and reads and training.max_length > one.max_position_embeddings:
            raise InputError(
                f"max_length={training.max_length} is more than max_position_embeddings={one.max_position_embeddings}, "
                f"and the model reads a table of positions. Lower it."
            )


def _draw(
    backend: Any,
    models: PretrainingModel,
    config: BaseConfig,
    other: BaseConfig | None,
    training: PretrainingOptions,
) -> None:
    """Fresh weights, the same in every framework; what is shared is drawn once, differences stay 0."""
    if other is None:
        names = set(expand(config, "masked_lm"))
        backend.set_parameters(models.model, draw_parameters(config, "masked_lm", names, training.seed))
        return
    names = set(expand(other, "masked_lm"))
    backend.set_parameters(models.generator, draw_parameters(other, "masked_lm", names, training.seed))
    own = set(expand(config, "replaced_token"))
    if training.embedding_sharing != "none":
        own -= {name.replace("._weight", ".weight") for name in DELTA_NAMES}
    backend.set_parameters(models.discriminator, draw_parameters(config, "replaced_token", own, training.seed + 1))


def _judge(
    backend: Any, models: PretrainingModel, files: Corpus, tokenizer: Any, training: PretrainingOptions, device: Any
) -> PretrainingJudge:
    batches = held_out_batches(files, tokenizer, replace(training.batches(), seed=0), _HELD_OUT_ROWS)
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    discriminator = models.discriminator
    return PretrainingJudge(
        [{name: array.astype(np.int64) for name, array in batch.inputs.items()} for batch in batches],
        backend.array_model(models.generator, device),
        None if discriminator is None else backend.array_model(discriminator, device),
        ordinary,
        training.temperature,
        seed=0,
    )


def _step_flops(config: BaseConfig, other: BaseConfig | None, training: PretrainingOptions) -> int:
    size = (
        training.batch_size,
        training.max_length,
        int(training.batch_size * training.max_length * training.masked_share),
    )
    if other is None:
        return training_flops(config, "masked_lm", *size)
    return training_flops(other, "masked_lm", *size) + training_flops(config, "replaced_token", *size)


class _Once:
    """A number that is measured when it is first asked for."""

    def __init__(self, measure: Any) -> None:
        self._measure, self._found = measure, False
        self._value: float | None = None

    def __call__(self) -> float | None:
        if not self._found:
            self._value, self._found = self._measure(), True
        return self._value
