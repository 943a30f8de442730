"""Several processes that `torchrun` starts, and the device of each."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as distributed
from torch import Tensor

from deberta_torch.device_map import choose_device

if TYPE_CHECKING:
    from deberta_dual.evaluation.classes import Metrics

# How long a process waits for another: the first one alone writes, and answers what the others wait for.
LONGEST_WAIT = timedelta(days=1)


@contextmanager
def processes_of(device: torch.device) -> Iterator[tuple[int, int]]:
    """The number of this process and of all; more than one where `torchrun` says so."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if not distributed.is_initialized():  # once: of a second group, torchrun's store would still have the first's keys
        distributed.init_process_group("gloo" if device.type == "cpu" else "nccl", timeout=LONGEST_WAIT)
        atexit.register(distributed.destroy_process_group)
    yield distributed.get_rank(), distributed.get_world_size()
    distributed.barrier()


def summed(totals: Tensor, device: torch.device) -> Tensor:
    """The sum over all processes."""
    if not distributed.is_initialized():
        return totals
    everywhere = totals.to(device)
    distributed.all_reduce(everywhere)
    return everywhere.cpu()


def agree(scores: Metrics) -> Metrics:
    """The first process's scores: should rounding differ, all must still stop together."""
    if not distributed.is_initialized():
        return scores
    shared = [scores]
    distributed.broadcast_object_list(shared)
    return shared[0]


def training_device(device: Any) -> Any:
    """Where a model is trained: the device that is named, that of this process under `torchrun`, or the best."""
    place = choose_device(device, "auto" if device is None else None)
    kind = getattr(place, "type", place)
    own = os.environ.get("LOCAL_RANK")
    if kind == "cpu" or own is None:
        return place
    torch.accelerator.set_device_index(int(own))  # what is sent goes through the current one, and "auto" means it
    return torch.device(str(kind), int(own))
