"""The steps of an epoch: micro-batches, gradients, clipping, an update, and the average of the weights.

Knows parameters and losses; knows nothing of when to stop or to save."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from training.data.pairs import Rows
from training.optimisation import distributed
from training.optimisation.job import Job, Loaded
from training.optimisation.prefetch import prefetched, steps_ahead
from training.optimisation.schedule import Schedule, micro_batches
from training.optimisation.state import Weights

MAX_GRADIENT_NORM = 5.0


def steps(
    job: Job[Loaded],
    weights: Weights,
    loss: Callable[[Loaded], Tensor],
    rows: Rows,
    schedule: Schedule,
    *,
    epoch: int,
    first: int,
) -> Iterator[float]:
    """Take the steps of an epoch from step `first` on, and yield each one's loss when it is taken.

    While one computes, the next is loaded, where that helps.

    Raises:
        ConfigError: if the loss is no longer a number.
    """
    weights.module.train()
    loads = _loads(job, schedule.order(rows, epoch), schedule, epoch, first)
    ahead = steps_ahead(next(weights.module.parameters()).device)
    with closing(prefetched(loads, ahead)) as loaded:
        for step in range(first, schedule.steps):
            torch.manual_seed(schedule.dropout_seed(epoch, step, distributed.rank()))
            for group in weights.optimizer.param_groups:
                group["lr"] = group["peak"] * schedule.share(epoch, step)
            value = _gradients(job, weights, loss, loaded)
            if any(p.grad is not None for group in weights.optimizer.param_groups for p in group["params"]):
                _update(weights)
            yield value


def _loads(
    job: Job[Loaded], order: Rows, schedule: Schedule, epoch: int, first: int
) -> Iterator[Callable[[], Loaded]]:
    """The loading of each micro-batch; those of a step draw from one generator, in turn."""
    for step in range(first, schedule.steps):
        generator = schedule.generator(epoch, step)
        for part in micro_batches(schedule.rows(order, step), job.stage.accumulate):
            yield partial(job.load, part, generator)


def _gradients(
    job: Job[Loaded], weights: Weights, loss: Callable[[Loaded], Tensor], loaded: Iterator[Loaded]
) -> float:
    """Leave the gradient of the mean over a step's micro-batches, and return that mean."""
    weights.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in islice(loaded, job.stage.accumulate):
        value = loss(part) / job.stage.accumulate
        number = value.item()
        if not math.isfinite(number):
            raise ConfigError(f"stage {job.name}: the loss became {number}. Lower its learning_rate.")
        total += number
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
