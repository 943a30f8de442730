"""The training loop of `deberta_core.finetuning`, in one process or in several that `torchrun` starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deberta_torch.device_map import choose_device
from deberta_torch.models import PreTrainedModel

if TYPE_CHECKING:
    from deberta_core.finetuning.metrics import Metrics
    from deberta_core.finetuning.run import Run

STATE_FILE = "state.pt"
BETAS, EPSILON = (0.9, 0.999), 1e-6


def training_device(device: Any = None) -> Any:
    """Where a model is trained: the device that is named, that of this process under `torchrun`, or the best.

    Raises:
        InputError: torch knows no such device.
    """
    place = choose_device(device, "auto" if device is None else None)
    kind = getattr(place, "type", place)
    own = os.environ.get("LOCAL_RANK")
    return place if kind == "cpu" or own is None else torch.device(str(kind), int(own))


def train(model: PreTrainedModel, run: Run) -> None:
    """Trains a model as a run says; it is in evaluation mode in the end.

    What a step does depends on the step, the seed and the weights alone: dropout's random numbers begin anew with
    each. So a run that goes on from a state ends as if it had not been interrupted.

    Args:
        model: a task model with float32 parameters.
        run: gives the examples and takes the results.
    """
    with _processes(model.device) as (process, processes):
        optimizer = torch.optim.AdamW(_groups(model, run), betas=BETAS, eps=EPSILON)
        if run.first_step:
            _read_state(run.folder.state_folder, model, optimizer)
        trained = DistributedDataParallel(model) if processes > 1 else model
        run.start_clock()
        for step in range(run.first_step, run.steps):
            if run.has_stopped:
                break
            torch.manual_seed(int(np.random.SeedSequence((run.options.seed, step, process)).generate_state(1)[0]))
            totals = _step(trained.train(), optimizer, run, step, process, processes)
            loss, tokens = _summed(totals, model.device).tolist()
            run.step_done(step, loss, run.schedule.examples(step), int(tokens))
            if run.ends_interval(step):
                model.eval()
                run.finish_interval(step, lambda folder: _write_state(folder, model, optimizer), _agree)
        model.eval()


def _step(
    trained: nn.Module, optimizer: torch.optim.Optimizer, run: Run, step: int, process: int, processes: int
) -> Tensor:
    """One step of the optimizer; this process's part of the loss, and its number of tokens, `[2]`."""
    device = next(trained.parameters()).device
    for group in optimizer.param_groups:
        group["lr"] = run.rate(step) * group["share"]
    optimizer.zero_grad(set_to_none=True)
    totals = torch.zeros(2, dtype=torch.float64)
    pieces = list(run.pieces(step, process, processes))
    for number, piece in enumerate(pieces):
        batch = {name: torch.from_numpy(array).to(device) for name, array in piece.batch.items()}
        is_last = number + 1 == len(pieces)
        with nullcontext() if is_last or processes == 1 else trained.no_sync():  # type: ignore[operator]
            with torch.autocast(device.type, torch.bfloat16, enabled=run.options.dtype == "bfloat16"):
                loss = trained(**batch).loss * piece.share
            (loss * processes).backward()  # gradients become the mean over the processes, and should be the sum
        totals += torch.tensor([float(loss.detach()), piece.tokens], dtype=torch.float64)
    if run.options.clip is not None:
        nn.utils.clip_grad_norm_(trained.parameters(), run.options.clip)
    optimizer.step()
    return totals


def _groups(model: PreTrainedModel, run: Run) -> list[dict[str, Any]]:
    """The parameters by their share of the learning rate and their weight decay."""
    parameters = dict(model.named_parameters())
    by_rates: dict[tuple[float, float], list[Tensor]] = {}
    for name, rates in run.rates.items():
        if parameters[name].requires_grad:
            by_rates.setdefault(rates, []).append(parameters[name])
    return [{"params": chosen, "share": share, "weight_decay": decay} for (share, decay), chosen in by_rates.items()]


@contextmanager
def _processes(device: torch.device) -> Iterator[tuple[int, int]]:
    """The number of this process and of all; more than one where `torchrun` says so."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if device.type != "cpu":
        torch.accelerator.set_device_index(device)  # what is sent goes through the current one
    distributed.init_process_group("gloo" if device.type == "cpu" else "nccl")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def _summed(totals: Tensor, device: torch.device) -> Tensor:
    """The sum over all processes."""
    if not distributed.is_initialized():
        return totals
    everywhere = totals.to(device)
    distributed.all_reduce(everywhere)
    return everywhere.cpu()


def _agree(scores: Metrics) -> Metrics:
    """The first process's scores: should rounding differ, all must still stop together."""
    if not distributed.is_initialized():
        return scores
    shared = [scores]
    distributed.broadcast_object_list(shared)
    return shared[0]


def _write_state(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> None:
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / STATE_FILE)


def _read_state(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> None:
    state = torch.load(folder / STATE_FILE, map_location=model.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
