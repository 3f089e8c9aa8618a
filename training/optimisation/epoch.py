"""The steps of an epoch: micro-batches, gradients, clipping, an update, and the average of the weights.

Knows parameters and losses; knows nothing of when to stop or to save."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from models.errors import ConfigError
from training.data.pairs import Rows
from training.optimisation import distributed
from training.optimisation.distributed import Loss
from training.optimisation.job import Job
from training.optimisation.schedule import Schedule, micro_batches
from training.optimisation.state import Weights

MAX_GRADIENT_NORM = 5.0


def steps(
    job: Job, weights: Weights, loss: Loss, rows: Rows, schedule: Schedule, *, epoch: int, first: int
) -> Iterator[float]:
    """Take the steps of an epoch from step `first` on, and yield each one's loss when it is taken.

    Raises:
        ConfigError: if the loss is no longer a number.
    """
    order = schedule.order(rows, epoch)
    weights.module.train()
    for step in range(first, schedule.steps):
        torch.manual_seed(schedule.dropout_seed(epoch, step, distributed.rank()))
        for group in weights.optimizer.param_groups:
            group["lr"] = group["peak"] * schedule.share(epoch, step)
        value = _gradients(job, weights, loss, schedule.rows(order, step), schedule.generator(epoch, step))
        if any(p.grad is not None for group in weights.optimizer.param_groups for p in group["params"]):
            _update(weights)
        yield value


def _gradients(job: Job, weights: Weights, loss: Loss, rows: Rows, generator: torch.Generator) -> float:
    """Leave the gradient of the mean over the micro-batches, and return that mean."""
    weights.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in micro_batches(rows, job.stage.accumulate):
        value = loss(part, generator) / job.stage.accumulate
        if not math.isfinite(value.item()):
            raise ConfigError(f"stage {job.name}: the loss became {value.item()}. Lower its learning_rate.")
        total += value.item()
        if value.requires_grad:  # else no row of the batch has a label
            weights.scaler.scale(value).backward()  # type: ignore[no-untyped-call]
    return total


def _update(weights: Weights) -> None:
    weights.scaler.unscale_(weights.optimizer)
    nn.utils.clip_grad_norm_(
        [p for group in weights.optimizer.param_groups for p in group["params"]], MAX_GRADIENT_NORM
    )
    weights.scaler.step(weights.optimizer)
    weights.scaler.update()
    weights.average.update_parameters(weights.module)
