"""What `decode` hands over: the inputs of one item, decoded but not yet prepared for a network."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Readings = Mapping[str, NDArray[np.float64]]
"""By channel: (t,) float64 in its unit, the newest last, NaN where a reading is missing; t >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One item's decoded inputs; a modality that was not given is None.

    image: (H, W, 3) uint8, RGB, upright, transparency composited onto white.
    text: as received; normalised by `prepare`.
    audio: (S,) float32, mono, at the model's rate, finite; full scale is 1. S may be 0.
    sensors: readings by channel, of which at least one is no NaN.
    """

    image: NDArray[np.uint8] | None = None
    text: str | None = None
    audio: NDArray[np.float32] | None = None
    sensors: Readings | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that are present, in the order of the batch's M axis."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)
