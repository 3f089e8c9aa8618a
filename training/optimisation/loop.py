"""The optimisation loop of one stage: epochs, validation, early stopping, and a state to resume from.

Knows parameters and losses; knows nothing of modalities."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.errors import ConfigError
from training.data.pairs import Rows
from training.optimisation import distributed, execution
from training.optimisation.curves import Scalars, no_scalars
from training.optimisation.epoch import steps
from training.optimisation.job import Job, Loaded
from training.optimisation.schedule import Schedule
from training.optimisation.state import RunState, Weights, save_state

TASK_WEIGHTS = "task_weights"  # what an epoch's entry calls the factors that are learnt
SAVE_INTERVAL_S = 30.0  # what a kill loses at most; a state is some 150 MB


class Progress(Protocol):
    """Told what happens; shows it to a person."""

    def start(self, name: str, total: int) -> None:
        """A piece of work of `total` units begins."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Some units are done."""

    def log(self, line: str) -> None:
        """Something worth keeping on the screen."""


@dataclass
class StateFile:
    """Where the state is written, and when it last was. Only the first process writes."""

    path: Path
    saved: float

    def save(self, state: RunState, weights: Weights) -> None:
        """Write the state, unless that was done a moment ago."""
        if perf_counter() - self.saved > SAVE_INTERVAL_S and distributed.is_first():
            state.scaler = weights.scaler.state_dict()
            save_state(self.path, state, weights.tensors())
            self.saved = perf_counter()


def fit(
    job: Job[Loaded],
    module: nn.Module,
    rows: Rows,
    *,
    seed: int,
    state: RunState,
    path: Path,
    progress: Progress,
    scalars: Scalars = no_scalars,
) -> None:
    """Train `module` in place, ending with the averaged weights; the state is saved every SAVE_INTERVAL_S.

    Every step seeds itself from (seed, stage, epoch, step), so a resumed run draws what an unbroken one would. On
    a CPU, with as many threads, the two end with the same bits.

    Args:
        job: what to optimise.
        module: holds all parameters, those of other stages too.
        rows: training rows.
        seed: of the run.
        state: where the run stands; a stage in progress goes on after its last saved step.
        path: the file of the state.
        progress: told of each step and epoch.
        scalars: told each step's loss and rate, and each epoch's figures.

    Raises:
        ConfigError: too few rows for a batch, a loss that is no number, or a figure to watch that is not there.
    """
    schedule = _schedule(job, rows, seed)
    weights = prepare_weights(job, module)
    if state.stage == job.name:
        weights.load(path)
        weights.scaler.load_state_dict(state.scaler)
    else:
        state.enter(job.name)
    loss, file = distributed.parallel(module, job.loss), StateFile(path, perf_counter())
    while state.epoch < job.stage.epochs and not _has_lost_patience(job, state):
        began = perf_counter()
        progress.start(f"{job.name} {state.epoch + 1}/{job.stage.epochs}", schedule.steps)
        progress.advance(state.step)
        for value in steps(job, weights, loss, rows, schedule, epoch=state.epoch, first=state.step):
            state.step += 1
            state.losses.append(value)
            progress.advance(1, f"loss {np.mean(state.losses[-20:]):.3f}")
            _tell_step(scalars, job, schedule, state, weights)
            if state.step < schedule.steps:  # else sooner than the epoch's figures
                file.save(state, weights)
        _end_epoch(job, weights, state, perf_counter() - began)
        _tell_epoch(scalars, progress, job, schedule, state)
        file.save(state, weights)
    module.load_state_dict(weights.best or weights.average.module.state_dict())
    # BatchNorm counts each process's own share, where it counts at all.
    distributed.take_first(module)
    state.finished.append(job.name)
    state.enter("")
    if distributed.is_first():
        save_state(path, state, {f"module.{name}": value for name, value in module.state_dict().items()})


def _schedule(job: Job[Loaded], rows: Rows, seed: int) -> Schedule:
    """Batches that divide into micro-batches, and each of those among the processes, without rest."""
    stage, parts = job.stage, job.stage.accumulate * distributed.size()
    if stage.batch_size % parts:
        raise ConfigError(
            f"stages.{job.name}.batch_size: {stage.batch_size} rows do not divide into {stage.accumulate} "
            f"micro-batch(es) for each of {distributed.size()} process(es). Make it a multiple of {parts}."
        )
    size = min(stage.batch_size, len(rows) // parts * parts)
    if not size:
        raise ConfigError(
            f"stages.{job.name}: train has {len(rows)} row(s) for it, fewer than {parts} micro-batches and "
            "processes. Add rows, or lower accumulate."
        )
    return Schedule(seed, job.name, stage.epochs, len(rows) // size, size)


def prepare_weights(job: Job[Loaded], module: nn.Module) -> Weights:
    """Everything that the stage changes, as it is before the first step; other parameters are frozen."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for parameters, _ in job.groups:
        for parameter in parameters:
            parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "peak": rate, "lr": rate} for parameters, rate in job.groups],
        weight_decay=job.stage.weight_decay,
        fused=True,  # one pass over the memory instead of ten: on a CPU a quarter of the time
    )
    ema = get_ema_multi_avg_fn(job.stage.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(module, multi_avg_fn=ema)
    device = next(module.parameters()).device
    return Weights(module, average, optimizer, execution.scaler(job.stage.precision, device))


def _end_epoch(job: Job[Loaded], weights: Weights, state: RunState, seconds: float) -> None:
    """Judge the average, note the epoch in the history, and keep the average if it is the best so far."""
    figures: dict[str, float] = {}
    learned = job.learned(weights.average.module)
    better = False
    if distributed.is_first():  # the others wait in their next exchange
        weights.average.module.eval()
        figures = job.validate(weights.average.module)
        if job.stage.patience:
            watched = _watched(job, figures)
            better = state.best is None or watched > state.best
            state.best = watched if better else state.best
    state.history.append(
        {
            "stage": job.name,
            "epoch": state.epoch + 1,
            "seconds": round(seconds, 1),
            "loss": float(np.mean(state.losses)),
            **figures,
            **({TASK_WEIGHTS: learned} if learned else {}),
        }
    )
    state.epoch, state.step, state.losses = state.epoch + 1, 0, []
    if job.stage.patience and distributed.agree(int(better)):
        state.best_epoch = state.epoch
        weights.best = {name: value.clone() for name, value in weights.average.module.state_dict().items()}


def _has_lost_patience(job: Job[Loaded], state: RunState) -> bool:
    return bool(job.stage.patience) and state.epoch - state.best_epoch >= job.stage.patience


def _watched(job: Job[Loaded], figures: Mapping[str, float]) -> float:
    """The mean of the validation figures that `monitor` names: one, all of a part, or (empty) all."""
    name = job.stage.monitor
    found = [value for key, value in figures.items() if not name or key == name or key.startswith(f"{name}/")]
    if not found:
        known = ", ".join(figures) or "none: val has no labelled rows"
        raise ConfigError(
            f"stages.{job.name}.patience: no figure {name or 'at all'}. There are: {known}. Change monitor, or "
            "set patience = 0."
        )
    return float(np.mean(found))


def _tell_step(scalars: Scalars, job: Job[Loaded], schedule: Schedule, state: RunState, weights: Weights) -> None:
    step = state.epoch * schedule.steps + state.step
    scalars(f"{job.name}/loss", state.losses[-1], step)
    scalars(f"{job.name}/learning_rate", weights.optimizer.param_groups[0]["lr"], step)


def _tell_epoch(
    scalars: Scalars, progress: Progress, job: Job[Loaded], schedule: Schedule, state: RunState
) -> None:
    entry = state.history[-1]
    known = ("stage", "epoch", "seconds", "loss", TASK_WEIGHTS)
    figures = {name: value for name, value in entry.items() if name not in known}
    learned: dict[str, float] = entry.get(TASK_WEIGHTS, {})
    for kind, values in (("val", figures), ("weight", learned)):
        for name, value in values.items():
            scalars(f"{job.name}/{kind}/{name}", value, state.epoch * schedule.steps)
    shown = "  ".join(f"{name} {value:.3f}" for name, value in _summary(figures).items())
    progress.log(f"{job.name} {state.epoch}/{job.stage.epochs}  loss {entry['loss']:.3f}  {shown}")
    if learned:
        told = "  ".join(f"{task} {factor:.2f}" for task, factor in learned.items())
        progress.log(f"{job.name} {state.epoch}/{job.stage.epochs}  weights {told}")
    if _has_lost_patience(job, state):
        progress.log(f"{job.name}: no better for {job.stage.patience} epoch(s); back to epoch {state.best_epoch}")


def _summary(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures named `part/head` as one mean per part: a line has room for no more."""
    parts: dict[str, list[float]] = {}
    for name, value in figures.items():
        parts.setdefault(name.split("/")[0], []).append(value)
    return {name: float(np.mean(values)) for name, values in parts.items()}
