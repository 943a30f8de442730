"""PyTorch as a `Backend`; it trains in one process, or in several that `torchrun` starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import deberta_torch
from deberta_core.config import BaseConfig
from deberta_core.parameters import ADAPTED, expand
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import TEACHER_LOGITS, ArrayModel, Arrays
from deberta_dual.backends.torch_lora import add_adapters, merged_state, plain_name, save_adapter
from deberta_dual.backends.torch_processes import agree, processes_of, summed, training_device
from deberta_dual.backends.torch_recipes import Terms, WeightAverage, perturbed
from deberta_torch.comparison_losses import comparison_losses
from deberta_torch.device_map import choose_device
from deberta_torch.inference.optimize import GRAPH_DEVICES, locks_of
from deberta_torch.losses import mean_loss
from deberta_torch.models import PreTrainedModel
from deberta_torch.weights import assign

if TYPE_CHECKING:
    from deberta_dual.finetuning.run import Run
    from deberta_dual.finetuning.schedule import Piece

STATE_FILE = "state.pt"
# What a model on the CPU is optimised to; in others it is loaded as it is.
_OPTIMISED = ("float32", "bfloat16", "int8")
_OWN_MODULES = (deberta_torch.tasks.__name__, deberta_torch.models.__name__)
BETAS, EPSILON = (0.9, 0.999), 1e-6


def is_model(model: Any) -> bool:
    """See `Backend.is_model`."""
    return isinstance(model, nn.Module) and hasattr(model, "config") and hasattr(model, "task")


def load_model(folder: Path, task: str | None, device: Any = None, dtype: Any = None, **options: Any) -> Any:
    """See `Backend.load_model`; on the CPU and on CUDA the model is optimised (`deberta_torch.optimize`)."""
    load = partial(_auto_class(task).from_pretrained, folder, **options)
    device_map = options.get("device_map")
    if isinstance(device_map, Mapping) or (device_map == "auto" and torch.accelerator.device_count() > 1):
        return load(device=_named(device), dtype=dtype)
    place = choose_device(_named(device), ("auto" if device is None else None) if device_map is None else device_map)
    load = partial(load, device=place, device_map=None)
    kind = getattr(place, "type", place)
    if kind in GRAPH_DEVICES:
        model = load(dtype=dtype)
        return model if model.config.mixes_heads else deberta_torch.optimize(model)
    if kind != "cpu":
        return load(dtype=dtype)
    if dtype is not None and str(dtype).removeprefix("torch.") not in _OPTIMISED:
        return load(dtype=dtype)
    model = load()
    if dtype is None and model.config.mixes_heads:
        return model  # talking heads have no fast encoder
    return deberta_torch.optimize(model, "float32" if dtype is None else dtype)


def place_model(model: Any, device: Any) -> Any:
    """See `Backend.place_model`: a model computes where it is, and is moved there."""
    place = choose_device(_named(device))
    if place is not None and (place.type != model.device.type or place.index not in (None, model.device.index)):
        model.to(place)
    return model.device


def tensor(array: NDArray[Any]) -> Tensor:
    """See `Backend.tensor`."""
    return torch.from_numpy(array)


def array_model(model: Any, device: Any = None) -> ArrayModel:
    """See `Backend.array_model`; the device is not read."""
    return ArrayModel(model.config, model.task, partial(_run, model))


def trainable_model(
    config: BaseConfig, task: str | None, folder: Path | None, dtype: str, device: Any = None
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """See `Backend.trainable_model`; products take their dtype from autocast, not from the model."""
    place = training_device(device)
    model_class = _auto_class(task).classes[config.model_type]
    if folder is None:
        return model_class(config).to(place), tuple(expand(config, task)), ()
    options: dict[str, Any] = {"new_head": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    model, report = model_class.from_pretrained(folder, config, device=place, **options)
    return model, report.missing, tuple(name for name, *_ in report.mismatched)


def set_parameters(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """See `Backend.set_parameters`."""
    assign(model, arrays)


def is_finite(model: Any) -> bool:
    """See `Backend.is_finite`."""
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def peak_memory(model: Any) -> int | None:
    """See `Backend.peak_memory`."""
    return torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else None


def save_model(model: Any, folder: Path, adapter: Path | None = None) -> None:
    """See `Backend.save_model`."""
    model.save_pretrained(folder, format="safetensors", max_shard_size=None, state_dict=merged_state(model))
    if adapter is not None:
        save_adapter(model, adapter)


def train(model: PreTrainedModel, run: Run, device: Any = None) -> None:
    """Trains a model as a run says; it is in evaluation mode in the end.

    What a step does depends on the step, the seed and the weights alone: dropout's random numbers begin anew with
    each. So a run that goes on from a state ends as if it had not been interrupted.

    Args:
        model: a task model with float32 parameters.
        run: gives the examples and takes the results.
        device: not read: the model is where it was made.
    """
    with processes_of(model.device) as (process, processes):
        _choose_parameters(model, run)
        optimizer = torch.optim.AdamW(_groups(model, run), betas=BETAS, eps=EPSILON)
        average = WeightAverage(model, run.options.ema) if run.options.ema else None
        if run.first_step:
            _read_state(run.folder.state_folder, model, optimizer, average)
        trained = DistributedDataParallel(model) if processes > 1 else model
        run.start_clock()
        for step in range(run.first_step, run.steps):
            if run.has_stopped:
                break
            torch.manual_seed(int(np.random.SeedSequence((run.options.seed, step, process)).generate_state(1)[0]))
            with Terms(model, run.options) as terms:
                totals = _step(trained.train(), optimizer, terms, run, step, process, processes)
            loss, tokens = summed(totals, model.device).tolist()
            run.step_done(step, loss, run.schedule.examples(step), int(tokens))
            if average is not None:
                average.update()
            if run.ends_interval(step):
                with nullcontext() if average is None else average.in_place():
                    model.eval()
                    run.finish_interval(step, lambda folder: _write_state(folder, model, optimizer, average), agree)
        model.eval()


def _step(
    trained: nn.Module,
    optimizer: torch.optim.Optimizer,
    terms: Terms,
    run: Run,
    step: int,
    process: int,
    processes: int,
) -> Tensor:
    """One step of the optimizer; this process's part of the task's loss, and its number of tokens, `[2]`."""
    for group in optimizer.param_groups:
        group["lr"] = run.rate(step) * group["share"]
    optimizer.zero_grad(set_to_none=True)
    pieces = list(run.pieces(step, process, processes))
    totals = _gradients(trained, terms, run, pieces, processes)
    if run.options.awp and step >= run.options.awp_start:
        with perturbed(trained, run.options.awp):
            _gradients(trained, terms, run, pieces, processes)
    if run.options.clip is not None:
        nn.utils.clip_grad_norm_(trained.parameters(), run.options.clip)
    optimizer.step()
    return totals


def _gradients(trained: nn.Module, terms: Terms, run: Run, pieces: list[Piece], processes: int) -> Tensor:
    """Adds the gradients of a step's pieces to those that are there; returns as `_step` does."""
    model: Any = getattr(trained, "module", trained)
    options = {"labelled_logits_only": True} if model.spec.scores_words and not terms else {}
    totals = torch.zeros(2, dtype=torch.float64)
    for number, piece in enumerate(pieces):
        batch = {name: torch.from_numpy(array).to(model.device) for name, array in piece.batch.items()}
        is_last = number + 1 == len(pieces)
        # Processes exchange the gradients of a step once, after its last piece.
        with trained.no_sync() if isinstance(trained, DistributedDataParallel) and not is_last else nullcontext():
            loss, added = _losses(trained, terms, batch, run, options)
            loss = loss * piece.share
            total = loss if added is None else loss + added * piece.row_share
            (total * processes).backward()  # gradients become the mean over the processes, and should be the sum
        totals += torch.tensor([float(loss.detach()), piece.tokens], dtype=torch.float64)
    return totals


def _losses(
    trained: nn.Module, terms: Terms, batch: dict[str, Tensor], run: Run, options: Mapping[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """The mean loss of a piece, the model's own or that of a comparison, in float32, and what is added to it."""
    compared = run.comparison
    labels, teacher = None if compared is None else batch.pop("labels"), batch.pop(TEACHER_LOGITS, None)
    kind = next(iter(batch.values())).device.type
    with torch.autocast(kind, torch.bfloat16, enabled=run.options.dtype == "bfloat16"):
        output = trained(**batch, **options, return_dict=True)
        if terms:
            return terms.of(output, batch, teacher)
    if compared is None or labels is None:
        return output.loss, None
    token_mask = batch["attention_mask"] != 0
    return mean_loss(comparison_losses(compared.loss, compared.pooling, output[0], token_mask, labels)), None


def _choose_parameters(model: PreTrainedModel, run: Run) -> None:
    """Puts adapters in, if there are to be any, and freezes what is not trained."""
    options = run.options
    if options.lora_rank:
        alpha = options.lora_rank if options.lora_alpha is None else options.lora_alpha
        add_adapters(model, options.lora_rank, alpha, ADAPTED[model.config.model_type], options.seed)
    for name, parameter in model.named_parameters():
        if plain_name(name) not in run.rates:
            parameter.requires_grad_(False)


def _groups(model: PreTrainedModel, run: Run) -> list[dict[str, Any]]:
    """The parameters by their share of the learning rate and their weight decay."""
    trained: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            trained.setdefault(plain_name(name), []).append(parameter)
    by_rates: dict[tuple[float, float], list[Tensor]] = {}
    for name, rates in run.rates.items():
        if name in trained:
            by_rates.setdefault(rates, []).extend(trained[name])
    return [{"params": chosen, "share": share, "weight_decay": decay} for (share, decay), chosen in by_rates.items()]


def _write_state(
    folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, average: WeightAverage | None
) -> None:
    """Writes all that training changes; where there are averages the model holds them, and they its weights."""
    others = [] if average is None else average.averages
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "averages": others}
    torch.save(state, folder / STATE_FILE)


def _read_state(
    folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, average: WeightAverage | None
) -> None:
    state = torch.load(folder / STATE_FILE, map_location=model.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if average is not None:
        average.averages = state["averages"]
        average.exchange()


def _named(device: Any) -> Any:
    """A device's name; as a number, of an accelerator, or the CPU for -1 or where there is none."""
    if not isinstance(device, int):
        return device
    if device < 0 or not torch.accelerator.is_available():
        return "cpu"
    accelerator = torch.accelerator.current_accelerator()
    return f"{accelerator.type}:{device}" if accelerator is not None else "cpu"


def _auto_class(task: str | None) -> Any:
    return getattr(deberta_torch, task_spec(task).auto_class)


def _run(model: Any, inputs: Arrays, places: NDArray[Any] | None) -> Arrays:
    where = next(model.parameters()).device
    with torch.inference_mode(), evaluating(model), ExitStack() as held:
        for lock in locks_of(model):
            held.enter_context(lock.calling())  # the two steps below are of the same weights
        # An optimised model reads the mask on the CPU: then no device is waited for. A user's own class might not.
        here = {"attention_mask"} if locks_of(model) and type(model).__module__ in _OWN_MODULES else set()
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        tensors = {name: part if name in here else part.to(where) for name, part in tensors.items()}
        if places is None:
            outputs = {
                name: value for name, value in model(**tensors, return_dict=True).items() if isinstance(value, Tensor)
            }
        else:
            outputs = {"logits": model.scores_at(torch.from_numpy(places).to(where), tensors)}
        return {name: value.float().cpu().numpy() for name, value in outputs.items()}


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within, a model is in evaluation mode; then as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
