"""What a step is given by its number alone: its seed, its rows, and its share of the learning rate.

Nothing here has a memory, so a run that goes on from any step does what an unbroken one would."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch

from training.data.pairs import Rows

WARMUP_SHARE = 0.05  # of a stage's steps


@dataclass(frozen=True, slots=True)
class Schedule:
    """A stage's steps: `steps` an epoch, of `size` rows each; rows left over wait for another epoch's order."""

    seed: int
    stage: str
    epochs: int
    steps: int
    size: int

    def order(self, rows: Rows, epoch: int) -> Rows:
        """The rows in this epoch's order."""
        generator = torch.Generator().manual_seed(self._number(epoch, "order"))
        shuffled: Rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
        return shuffled

    def rows(self, order: Rows, step: int) -> Rows:
        """Of an epoch's order, the rows of one step."""
        return order[step * self.size : (step + 1) * self.size]

    def generator(self, epoch: int, step: int) -> torch.Generator:
        """What a step draws its augmentation from."""
        return torch.Generator().manual_seed(self._number(epoch, step))

    def dropout_seed(self, epoch: int, step: int, rank: int) -> int:
        """The seed of torch's own generators, which each process needs apart: its rows are others."""
        return self._number(epoch, step, rank)

    def share(self, epoch: int, step: int) -> float:
        """Share of the peak rate: a linear rise, then a half cosine to zero."""
        return rate_share(epoch * self.steps + step, self.epochs * self.steps)

    def _number(self, *parts: object) -> int:
        text = "/".join(str(part) for part in (self.seed, self.stage, *parts))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def rate_share(step: int, steps: int) -> float:
    """A linear rise over the first WARMUP_SHARE of the steps, then a half cosine to zero."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def micro_batches(rows: Rows, count: int) -> list[Rows]:
    """A step's rows in `count` equal parts, in order."""
    return np.split(rows, count)
