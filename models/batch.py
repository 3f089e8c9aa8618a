"""Example (one item's arrays) and Batch (several items' arrays, with who has what).

Knows no modality by name: a preprocessor says how its own arrays are stacked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
"""A modality's arrays by the name of the encoder input that takes them."""


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A reading that is far from what the model was trained on; None where there is no bound on that side."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One prepared item: for each modality present, the arrays that its encoder takes, without a batch axis.

    out_of_range: by channel of the sensors, the reading that is farthest out.
    """

    arrays: Mapping[str, Arrays]
    out_of_range: Mapping[str, OutOfRange] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that are present."""
        return tuple(self.arrays)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B items. Absent modalities take no room: `inputs[m]` holds only the rows that have m, in item order.

    inputs: modality → encoder input → (n, …), n the number of items that have the modality.
    present_BM: bool; which item has which modality. Column m is `modalities[m]`.
    """

    inputs: Mapping[str, Arrays]
    present_BM: NDArray[np.bool_]
    modalities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.present_BM)

    def rows(self, modality: str) -> NDArray[np.intp]:
        """Indices (n,) of the items that have `modality`, in the order of `inputs[modality]`."""
        return np.flatnonzero(self.present_BM[:, self.modalities.index(modality)])
