"""A job: what one stage optimises and how it is judged. Knows nothing of how that is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from training.data.pairs import Rows
from training.recipe import Stage

Loaded = TypeVar("Loaded")


def nothing_learned(_module: nn.Module) -> dict[str, float]:
    """No task's weight is learnt."""
    return {}


@dataclass(frozen=True, slots=True)
class Job(Generic[Loaded]):
    """One stage, ready to be optimised.

    groups: parameters with their peak learning rate.
    load: what the loss needs of a batch of row numbers, all that is random drawn from the step's generator. Other
        threads call it, while the weights change.
    loss: of what was loaded; a mean over the rows.
    validate: figures on the averaged weights, after each epoch; higher is better.
    learned: by task, the factor of its loss after each epoch, where that is learnt.
    """

    name: str
    stage: Stage
    groups: list[tuple[list[nn.Parameter], float]]
    load: Callable[[Rows, torch.Generator], Loaded]
    loss: Callable[[Loaded], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]
    learned: Callable[[nn.Module], dict[str, float]] = nothing_learned
