"""Logits to probabilities that mean what they say: one temperature for each head and modality subset.

Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.config import Config

Floats = NDArray[np.float32]


def subset_name(modalities: Sequence[str]) -> str:
    """The name of a modality subset, in batch order: `image+text`."""
    return "+".join(modalities)


class Calibration(Config):
    """Temperatures by head and modality subset; 1 where none was fitted."""

    temperatures: dict[str, dict[str, float]] = Field(default_factory=dict)

    def probabilities(self, head: str, subset: str, logits_C: Floats, *, multi_label: bool = False) -> Floats:
        """Calibrated probabilities (C,) float32: softmax, or a sigmoid each for a multi-label head."""
        scaled = logits_C.astype(np.float64) / self.temperatures.get(head, {}).get(subset, 1.0)
        if multi_label:
            return (0.5 * (1.0 + np.tanh(0.5 * scaled))).astype(np.float32)  # a sigmoid that cannot overflow
        weights = np.exp(scaled - scaled.max())
        shares: Floats = (weights / weights.sum()).astype(np.float32)
        return shares
