"""Logits to probabilities that mean what they say, and to sets that hold the right label as often as asked.

Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
Spreads: Laves et al. 2020, "Well-Calibrated Regression Uncertainty in Medical Imaging".
Prediction sets: Sadinle, Lei and Wasserman 2019, "Least Ambiguous Set-Valued Classifiers With Bounded Error
Levels": one threshold for all classes, so a rare class may be covered less often.

# n calibration rows, C classes"""

import math
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Context
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.config import Config
from models.errors import InputError

Floats = NDArray[np.float32]
MAX_PROBABILITIES = 500  # of one head and subset in config.json
_DOWN = Context(prec=4, rounding=ROUND_FLOOR)


def subset_name(modalities: Sequence[str]) -> str:
    """The name of a modality subset, in batch order: `image+text`."""
    return "+".join(modalities)


class Conformity(Config):
    """What the labels of n calibration rows were given: the prediction set of any coverage follows from it.

    A row's conformity score is 1 - p(label). Kept are the rows that got at most half: where more than half is
    asked for, no set has more than its most probable label, and that one is in every set.
    """

    num_rows: int = Field(ge=1, description="n, with the rows that are not kept.")
    probabilities: tuple[float, ...] = Field(description="p(label), ascending, rounded down, at most one half.")
    step: int = Field(1, ge=1, description="Every step-th of them stands here, from the least on.")

    @classmethod
    def fit(cls, probabilities_n: NDArray[np.floating]) -> Self:
        """From p(label) (n,) of the calibration rows, n >= 1; 0 where the model does not know the label.

        Whatever is lost (the digits after the fourth, rows beyond MAX_PROBABILITIES) makes sets larger, never
        smaller.
        """
        kept = np.sort(probabilities_n[probabilities_n <= 0.5])
        step = max(1, math.ceil(len(kept) / MAX_PROBABILITIES))
        rounded = tuple(float(_DOWN.create_decimal(float(p))) for p in kept[::step])
        return cls(num_rows=len(probabilities_n), probabilities=rounded, step=step)

    def least_probability(self, coverage: float) -> float:
        """What a label must be given to be in the set: 1 - the ceil((n + 1) coverage)-th smallest score.

        0, so every label, where that rank is beyond n. 1, so the most probable alone, where it is more than half.
        """
        # As a fraction: in floats, (99 + 1) * 0.07 is more than 7, and would be rank 8.
        rank = math.ceil((self.num_rows + 1) * Fraction(str(coverage)))
        if rank > self.num_rows:
            return 0.0
        place = (self.num_rows - rank) // self.step
        return self.probabilities[place] if place < len(self.probabilities) else 1.0


class Calibration(Config):
    """By head and modality subset: temperatures and spreads, 1 where unfitted; and what prediction sets need."""

    temperatures: dict[str, dict[str, float]] = Field(default_factory=dict)
    conformity: dict[str, dict[str, Conformity]] = Field(default_factory=dict)
    spreads: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="What a predicted deviation is multiplied by."
    )

    def probabilities(self, head: str, subset: str, logits_C: Floats, *, multi_label: bool = False) -> Floats:
        """Calibrated probabilities (C,) float32: softmax, or a sigmoid each for a multi-label head."""
        scaled = logits_C.astype(np.float64) / self.temperatures.get(head, {}).get(subset, 1.0)
        if multi_label:
            return (0.5 * (1.0 + np.tanh(0.5 * scaled))).astype(np.float32)  # a sigmoid that cannot overflow
        weights = np.exp(scaled - scaled.max())
        shares: Floats = (weights / weights.sum()).astype(np.float32)
        return shares

    def deviation(self, head: str, subset: str, log_variance: float) -> float:
        """The calibrated standard deviation of a number that was predicted with this log-variance."""
        return self.spreads.get(head, {}).get(subset, 1.0) * math.exp(0.5 * log_variance)

    def conformity_of(self, head: str, subset: str) -> Conformity:
        """What the prediction sets of this head need where only the modalities of `subset` are given.

        Raises:
            InputError: nothing was fitted: the checkpoint is older, or no validation row had them all and a label.
        """
        found = self.conformity.get(head, {}).get(subset)
        if found is None:
            raise InputError(
                "coverage",
                f"this model has no prediction sets of {head!r} from {subset}. Leave the field out, or train "
                "the model again with validation rows that have both.",
            )
        return found

    def prediction_set(self, head: str, subset: str, scores_C: Floats, coverage: float) -> NDArray[np.intp]:
        """The least ambiguous set: class numbers, the most probable first; never empty.

        On rows exchangeable with the calibration rows it holds the label with a probability of at least
        `coverage`. Where no label is probable enough, the bare method gives the empty set; here it is the most
        probable label alone.

        Raises:
            InputError: as `conformity_of` does.
        """
        least = self.conformity_of(head, subset).least_probability(coverage)
        size = max(1, int((scores_C.astype(np.float64) >= least).sum()))
        return np.argsort(-scores_C, kind="stable")[:size]
