"""Two processes: DistributedDataParallel and fully_shard give the loss and the gradients of one process."""

from __future__ import annotations

import os
import socket
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from tools.clients.report import report
from tools.clients.tiny import LABELS, batch_of, make

ENVIRONMENTS = ("hf5",)
PROCESSES = 2


def losses(model: Any, rows: slice) -> torch.Tensor:
    """The loss of some of the texts, with gradients left in the model."""
    _, tokenizer = make()
    batch = {name: value[rows] for name, value in batch_of(tokenizer).items()}
    loss: torch.Tensor = model(**batch, labels=torch.tensor(LABELS)[rows]).loss
    loss.backward()
    return loss.detach()


def work(rank: int, port: int) -> None:
    """One of the processes: half of the texts."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    alone = make()[0]
    expected = losses(alone, slice(None))
    for wrap in (DistributedDataParallel, shard):
        model = make()[0]
        wrapped: Any = wrap(model)
        loss = losses(wrapped, slice(rank, None, PROCESSES))
        dist.all_reduce(loss)
        torch.testing.assert_close(loss / PROCESSES, expected)
        for (name, parameter), other in zip(model.named_parameters(), alone.parameters(), strict=True):
            gradient = parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad
            largest = float(other.grad.abs().max())
            assert (gradient - other.grad).abs().max() <= 1e-6 + 1e-4 * largest, f"{wrap.__name__}: {name}"
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        optimizer.step()
    dist.destroy_process_group()


def shard(model: Any) -> Any:
    """Every layer by itself, and the rest, as its guide says."""
    mesh = dist.device_mesh.init_device_mesh("cpu", (PROCESSES,))
    for layer in model.deberta.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    return model


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(work, (port,), nprocs=PROCESSES)
    report("torch", ["DistributedDataParallel and fully_shard, two processes: loss and gradients of one"])
