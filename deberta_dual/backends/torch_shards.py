"""Models whose parameters, gradients and optimizers are spread over the processes of a run (`fully_shard`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(calls: Iterable[nn.Module], models: Iterable[Any], device: torch.device, processes: int) -> None:
    """Shards what is called, each layer of its models by itself: no more than a layer is whole at once."""
    mesh = init_device_mesh(device.type, (processes,))
    for model in models:
        for layer in model.deberta.encoder.layer:
            fully_shard(layer, mesh=mesh)
    for call in calls:
        fully_shard(call, mesh=mesh)


@contextmanager
def whole(call: nn.Module) -> Iterator[None]:
    """Keeps what a sharded module has outside of its layers whole, for another module that reads it."""
    with ExitStack() as held:
        if isinstance(call, FSDPModule):
            call.unshard()
            held.callback(call.reshard)
        yield


def copy_whole(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters into a model that is not sharded; all processes do so together."""
    with torch.no_grad():
        for (name, given), (other, own) in zip(source.named_parameters(), target.named_parameters(), strict=True):
            assert name == other
            own.copy_(_gathered(given))


def gathered_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimizer as if nothing were sharded; all processes ask together."""
    return _with_state(optimizer.state_dict(), lambda number, value: _gathered(value))


def sharded_state(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What `gathered_state` gave, for an optimizer whose parameters may be sharded."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]

    def spread(number: int, value: Any) -> Any:
        own = parameters[number]
        if isinstance(own, DTensor) and isinstance(value, Tensor) and value.shape == own.shape:
            return distribute_tensor(value, own.device_mesh, own.placements)
        return value

    return _with_state(state, spread)


def _gathered(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _with_state(state: dict[str, Any], change: Callable[[int, Any], Any]) -> dict[str, Any]:
    own = {
        number: {name: change(number, value) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": own}
