"""A job: what one stage optimises and how it is judged. Knows nothing of how that is done."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from training.optimisation.distributed import Loss
from training.recipe import Stage


def nothing_learned(_module: nn.Module) -> dict[str, float]:
    """No task's weight is learnt."""
    return {}


@dataclass(frozen=True, slots=True)
class Job:
    """One stage, ready to be optimised.

    groups: parameters with their peak learning rate.
    loss: of a batch of row numbers, with the step's generator; a mean over the rows.
    validate: figures on the averaged weights, after each epoch; higher is better.
    learned: by task, the factor of its loss after each epoch, where that is learnt.
    """

    name: str
    stage: Stage
    groups: list[tuple[list[nn.Parameter], float]]
    loss: Loss
    validate: Callable[[nn.Module], dict[str, float]]
    learned: Callable[[nn.Module], dict[str, float]] = nothing_learned
