"""The optimisation loop of one stage: shuffled epochs, warm-up and cosine, clipping, EMA, a state to resume from.

Knows parameters and losses; knows nothing of modalities."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.errors import ConfigError
from training.data import Rows
from training.recipe import Stage

WARMUP_SHARE = 0.05  # of a stage's steps
MAX_GRADIENT_NORM = 5.0
SAVE_INTERVAL_S = 20.0  # a state is some 150 MB; a short epoch is sooner repeated than saved


class Progress(Protocol):
    """Told what happens; shows it to a person."""

    def start(self, name: str, total: int) -> None:
        """A piece of work of `total` units begins."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Some units are done."""

    def log(self, line: str) -> None:
        """Something worth keeping on the screen."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a stage optimises, and how it is judged.

    groups: parameters with their peak learning rate.
    loss: of a batch of row numbers, with the epoch's generator.
    validate: figures on the averaged weights, after each epoch.
    """

    name: str
    stage: Stage
    groups: list[tuple[list[nn.Parameter], float]]
    loss: Callable[[Rows, torch.Generator], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]


@dataclass
class RunState:
    """Where a run stands: finished stages, the epoch within the current one, and the curves so far."""

    fingerprint: str
    finished: list[str] = field(default_factory=list)
    stage: str = ""
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    job: Job, module: nn.Module, rows: Rows, *, seed: int, state: RunState, path: Path, progress: Progress
) -> None:
    """Train `module` in place, ending with the averaged weights; the state is saved between epochs.

    Every epoch seeds itself from (seed, stage, epoch), so a resumed run draws what an unbroken one would.

    Args:
        job: what to optimise.
        module: holds all parameters, those of other stages too.
        rows: training rows.
        seed: of the run.
        state: where the run stands; a stage in progress goes on after its last saved epoch.
        path: the file of the state.
        progress: told of each step and epoch.
    """
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for parameters, _ in job.groups:
        for parameter in parameters:
            parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "peak": rate, "lr": rate} for parameters, rate in job.groups],
        weight_decay=job.stage.weight_decay,
    )
    ema = get_ema_multi_avg_fn(job.stage.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(module, multi_avg_fn=ema)
    if state.stage == job.name:
        load_state(path, module, average.module, optimizer)
        average.n_averaged.fill_(1)  # else its first update would copy the raw weights over
    else:
        state.stage, state.epoch = job.name, 0
    size = min(job.stage.batch_size, len(rows))
    steps = len(rows) // size
    saved = perf_counter()
    for epoch in range(state.epoch, job.stage.epochs):
        began = perf_counter()
        progress.start(f"{job.name} {epoch + 1}/{job.stage.epochs}", steps)
        loss = _epoch(job, module, average, optimizer, rows, size=size, epoch=epoch, seed=seed, progress=progress)
        average.module.eval()
        figures = job.validate(average.module)
        state.epoch = epoch + 1
        state.history.append(
            {
                "stage": job.name,
                "epoch": epoch + 1,
                "seconds": round(perf_counter() - began, 1),
                "loss": loss,
                **figures,
            }
        )
        shown = "  ".join(f"{name} {value:.3f}" for name, value in _summary(figures).items())
        progress.log(f"{job.name} {epoch + 1}/{job.stage.epochs}  loss {loss:.3f}  {shown}")
        if epoch + 1 < job.stage.epochs and perf_counter() - saved > SAVE_INTERVAL_S:
            save_state(path, state, module, average.module, optimizer)
            saved = perf_counter()
    module.load_state_dict(average.module.state_dict())
    state.finished.append(job.name)
    state.stage, state.epoch = "", 0
    save_state(path, state, module, module, None)


def _epoch(
    job: Job,
    module: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    *,
    size: int,
    epoch: int,
    seed: int,
    progress: Progress,
) -> float:
    stage_seed = int.from_bytes(f"{seed}/{job.name}/{epoch}".encode()) % (2**63 - 25)
    torch.manual_seed(stage_seed)  # dropout
    generator = torch.Generator().manual_seed(stage_seed)
    order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    steps, losses = len(rows) // size, []
    module.train()
    for step in range(steps):
        share = _schedule(epoch * steps + step, job.stage.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        loss = job.loss(order[step * size : (step + 1) * size], generator)
        if not math.isfinite(loss.item()):
            raise ConfigError(f"stage {job.name}: the loss became {loss.item()}. Lower its learning_rate.")
        losses.append(loss.item())
        if loss.requires_grad:  # else no row of the batch has a label
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(
                [p for group in optimizer.param_groups for p in group["params"]], MAX_GRADIENT_NORM
            )
            optimizer.step()
            average.update_parameters(module)
        progress.advance(1, f"loss {np.mean(losses[-20:]):.3f}")
    return float(np.mean(losses))


def _summary(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures named `part/head` as one mean per part: a line has room for no more."""
    parts: dict[str, list[float]] = {}
    for name, value in figures.items():
        parts.setdefault(name.split("/")[0], []).append(value)
    return {name: float(np.mean(values)) for name, values in parts.items()}


def _schedule(step: int, steps: int) -> float:
    """Share of the peak rate: a linear rise, then a half cosine to zero."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def save_state(
    path: Path,
    state: RunState,
    module: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    """Write everything a run needs to go on, in one file that is replaced at once."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    if optimizer is not None:
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # safetensors takes no channels-last tensors, nor any that share memory (weights and average at the end)
    save_file(
        {name: value.contiguous().clone() for name, value in tensors.items()},
        partial,
        metadata={"state": json.dumps(vars(state))},
    )
    partial.replace(path)


def read_state(path: Path) -> RunState | None:
    """Where an interrupted run stands; None if there is none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return RunState(**json.loads(file.metadata()["state"]))


def load_state(
    path: Path, module: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer | None
) -> None:
    """Fill the weights, their average and the optimiser's moments from a state file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    module.load_state_dict(_part(tensors, "module."))
    if average is not None:
        average.load_state_dict(_part(tensors, "average."))
    if optimizer is not None:
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            slots.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
