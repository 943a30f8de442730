"""Pretraining in PyTorch; in one process, or in several that `torchrun` starts."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import deberta_torch
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import PretrainingModel, PretrainingStart
from deberta_dual.backends.torch import BETAS, EPSILON, STATE_FILE
from deberta_dual.backends.torch_processes import agree, processes_of, summed, training_device
from deberta_dual.backends.torch_shards import copy_whole, gathered_state, shard, sharded_state, whole

if TYPE_CHECKING:
    from deberta_dual.pretraining.run import PretrainingRun
    from deberta_dual.pretraining.schedule import MaskedPiece

_SIZE, _REPEATS = 1024, 3  # of the product that tells the machine's limit


def pretraining_model(start: PretrainingStart, device: Any = None) -> PretrainingModel:
    """See `PretrainingBackend.pretraining_model`."""
    place = training_device(device)
    torch.manual_seed(start.seed)  # of what is not drawn by name, such as a table that nobody reads
    if start.generator_config is None:
        cls = getattr(deberta_torch, task_spec("masked_lm").auto_class).classes[start.config.model_type]
        if start.folder is None:
            model = cls(start.config)
        else:
            model = cls.from_pretrained(start.folder, start.config, new_head=True)
        model.to(place)
        return PretrainingModel(model, model, None)
    classes = {"deberta": deberta_torch.DebertaForPreTraining, "deberta-v2": deberta_torch.DebertaV2ForPreTraining}
    own: dict[str, Any] = dict(start.drawing)
    if start.folder is None:
        model = classes[start.config.model_type](
            start.generator_config, start.config, start.sharing, start.rtd_weight, **own
        )
    else:
        given = {} if start.generator is None and start.finds_generator else {"generator": start.generator}
        own |= {"rtd_lambda": start.rtd_weight, "new_head": True, "seed": start.seed, **given}
        model = classes[start.config.model_type].from_pretrained(start.folder, embedding_sharing=start.sharing, **own)
    model.to(place)
    return PretrainingModel(model, model.generator, model.discriminator)


def peak_flops(models: PretrainingModel, dtype: str) -> float | None:
    """See `PretrainingBackend.peak_flops`."""
    where = next(models.model.parameters()).device
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    size = _SIZE if where.type == "cpu" else 8 * _SIZE
    left = torch.randn(size, size, device=where, dtype=kind)
    best = 0.0
    for _ in range(_REPEATS):
        began = time.perf_counter()
        product = left @ left
        float(product[0, 0])  # waits for the device
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def pretrain(models: PretrainingModel, run: PretrainingRun, device: Any = None) -> None:
    """See `PretrainingBackend.pretrain`.

    What a step does depends on the step, the seed and the weights alone, as in fine-tuning.
    """
    where = next(models.model.parameters()).device
    if run.chosen.gradient_checkpointing:
        for part in (models.generator, models.discriminator):
            if part is not None:
                part.gradient_checkpointing_enable()
    with processes_of(where) as (process, processes):
        state = None
        if run.first_step:
            state = torch.load(run.folder.state_folder / STATE_FILE, map_location=where, weights_only=True)
            models.model.load_state_dict(state["model"])
        trained = copy.deepcopy(models) if run.chosen.fully_shard else models  # the whole one is judged, and saved
        trainer = _Trainer(trained, run, process, processes, None if state is None else state["optimizers"])
        run.start_clock()
        for step in range(run.first_step, run.steps):
            torch.manual_seed(_seed(run, step, process))
            trained.model.train()
            losses, tokens = trainer.step(step)
            totals = summed(torch.tensor([*losses.values(), tokens], dtype=torch.float64), where).tolist()
            run.losses_done(step, dict(zip(losses, totals[:-1], strict=True)), int(totals[-1]))
            if run.ends_interval(step):
                trained.model.eval()
                if trained is not models:
                    copy_whole(trained.model, models.model)
                state = {
                    "model": models.model.state_dict(),
                    "optimizers": [gathered_state(one) for one in trainer.optimizers],
                }
                run.finish_interval(step, partial(_write_state, state), agree)
        models.model.eval()


def _write_state(state: dict[str, Any], folder: Path) -> None:
    torch.save(state, folder / STATE_FILE)


class _Called(nn.Module):
    """A model with one of its functions, so that processes can exchange the gradients of a call of it."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self._function = model, (function,)

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """The function."""
        return self._function[0](*arguments, **options)


class _Trainer:
    """The steps of a run: of one model, of two that take turns, or of two at once."""

    def __init__(
        self, models: PretrainingModel, run: PretrainingRun, process: int, processes: int, state: Sequence[Any] | None
    ) -> None:
        self._models, self._run, self._process, self._processes = models, run, process, processes
        model, self._is_joint = models.model, run.chosen.updates == "joint"
        self._where = next(model.parameters()).device
        if models.discriminator is None:
            parts: list[tuple[Any, Callable[..., Any]]] = [(model, model)]
        elif self._is_joint:
            parts = [(model, model)]
        else:
            parts = [(models.generator, model.corrupt), (models.discriminator, model.discriminate)]
        self._owners = [owner for owner, _ in parts]
        self._calls: list[nn.Module] = [_Called(owner, function) for owner, function in parts]
        if run.chosen.fully_shard:
            shard(
                self._calls,
                dict.fromkeys(filter(None, (models.generator, models.discriminator))),
                self._where,
                processes,
            )
        elif processes > 1:
            self._calls = [DistributedDataParallel(call) for call in self._calls]
        self.optimizers = [self._optimizer(owner) for owner in self._owners]
        for optimizer, own in zip(self.optimizers, state or (), strict=state is not None):
            optimizer.load_state_dict(sharded_state(own, optimizer))

    def step(self, step: int) -> tuple[dict[str, float], int]:
        """One step of every optimizer; this process's part of the losses, and its number of tokens."""
        pieces = list(self._run.masked_pieces(step, self._process, self._processes))
        tokens = sum(piece.tokens for piece in pieces)
        batches = [self._tensors(piece) for piece in pieces]
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._run.rate(step) * group["share"]
            optimizer.zero_grad(set_to_none=True)
        if self._models.discriminator is None:
            losses = {"mlm_loss": self._masked_lm(pieces, batches)}
        elif self._is_joint:
            losses = self._joint(pieces, batches)
        else:
            losses = self._in_turns(pieces, batches)
        return losses, tokens

    def _masked_lm(self, pieces: Sequence[MaskedPiece], batches: Sequence[dict[str, Tensor]]) -> float:
        total = 0.0
        for piece, batch, call in self._turns(0, pieces, batches):
            with self._autocast():
                loss = call(**batch, labelled_logits_only=True, return_dict=True).loss * piece.share
            self._backward(loss)
            total += float(loss.detach())
        self._update(0)
        return total

    def _joint(self, pieces: Sequence[MaskedPiece], batches: Sequence[dict[str, Tensor]]) -> dict[str, float]:
        totals = {"mlm_loss": 0.0, "rtd_loss": 0.0}
        for piece, batch, call in self._turns(0, pieces, batches):
            with self._autocast():
                found = call(**batch)
            parts = {"mlm_loss": found.mlm_loss * piece.share, "rtd_loss": found.rtd_loss * piece.token_share}
            self._backward(parts["mlm_loss"] + self._run.chosen.rtd_weight * parts["rtd_loss"])
            totals = {name: total + float(parts[name].detach()) for name, total in totals.items()}
        self._update(0)
        return totals

    def _in_turns(self, pieces: Sequence[MaskedPiece], batches: Sequence[dict[str, Tensor]]) -> dict[str, float]:
        """The generator's step on all pieces, then the discriminator's on what the generator drew before its step."""
        totals, drawn = {"mlm_loss": 0.0, "rtd_loss": 0.0}, []
        for piece, batch, call in self._turns(0, pieces, batches):
            with self._autocast():
                found = call(**batch)
            loss = found.mlm_loss * piece.share
            self._backward(loss)
            totals["mlm_loss"] += float(loss.detach())
            others = {name: values for name, values in batch.items() if name not in ("input_ids", "labels")}
            drawn.append({"corrupted_ids": found.corrupted_ids, "replaced": found.replaced, **others})
        self._update(0)
        with whole(self._calls[0]):  # the discriminator may read the generator's tables
            for piece, batch, call in self._turns(1, pieces, drawn):
                with self._autocast():
                    loss = call(**batch).rtd_loss * piece.token_share
                self._backward(self._run.chosen.rtd_weight * loss)
                totals["rtd_loss"] += float(loss.detach())
        self._update(1)
        return totals

    def _turns(
        self, number: int, pieces: Sequence[MaskedPiece], batches: Sequence[dict[str, Tensor]]
    ) -> Iterator[tuple[MaskedPiece, dict[str, Tensor], nn.Module]]:
        """Pieces and batches with what to call; processes exchange gradients once, after the last piece."""
        call = self._calls[number]
        for place, (piece, batch) in enumerate(zip(pieces, batches, strict=True)):
            waits = isinstance(call, DistributedDataParallel) and place + 1 < len(pieces)
            with call.no_sync() if waits else nullcontext():  # type: ignore[operator]
                yield piece, batch, call

    def _backward(self, loss: Tensor) -> None:
        (loss * self._processes).backward()  # gradients become the mean over the processes, and should be the sum

    def _update(self, number: int) -> None:
        if self._run.chosen.clip is not None:
            nn.utils.clip_grad_norm_(self._owners[number].parameters(), self._run.chosen.clip)
        self.optimizers[number].step()

    def _optimizer(self, owner: nn.Module) -> torch.optim.AdamW:
        """AdamW over a model's parameters, by learning rate and weight decay."""
        of_discriminator = set() if self._models.discriminator is None else {*self._models.discriminator.parameters()}
        of_generator = {*self._models.generator.parameters()}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for parameter in dict.fromkeys(owner.parameters()):
            if not parameter.requires_grad:
                continue
            is_own = parameter in of_discriminator and parameter not in of_generator
            share = self._run.chosen.discriminator_share if is_own else 1.0
            decay = self._run.chosen.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
        settings = [
            {"params": chosen, "share": share, "weight_decay": decay} for (share, decay), chosen in groups.items()
        ]
        fused = True if self._where.type in ("cpu", "cuda") else None  # one pass over the numbers, not ten
        return torch.optim.AdamW(settings, betas=BETAS, eps=EPSILON, fused=fused)

    def _tensors(self, piece: MaskedPiece) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array).to(self._where) for name, array in piece.batch.items()}

    def _autocast(self) -> Any:
        return torch.autocast(self._where.type, torch.bfloat16, enabled=self._run.chosen.dtype == "bfloat16")


def _seed(run: PretrainingRun, step: int, process: int) -> int:
    return int(np.random.SeedSequence((run.chosen.seed, step, process)).generate_state(1)[0])
