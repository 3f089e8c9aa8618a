"""How far an input is from what a version was trained on, by its encoder's vector: noise, darkness, another world.

Vectors of validation rows are taken for one Gaussian cloud, wide along some axes and equally thin along all others
(probabilistic PCA, Tipping and Bishop 1999); the distance is Mahalanobis's in it (of networks: Lee et al. 2018).

# n rows, D width, K axes"""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from models.config import Config

Doubles = NDArray[np.float64]
NUM_AXES = 16
MARGIN = 2.0
"""The limit is so many times the distance of the farthest validation row."""

THINNEST = 1e-6
"""Of the variance along an axis: where validation rows do not differ at all, rounding is no distance."""


class Familiar(Config):
    """The cloud of one modality."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    mean: tuple[float, ...] = Field(description="D numbers.")
    axes: tuple[tuple[float, ...], ...] = Field(description="K axes of length one, D numbers each.")
    variances: tuple[float, ...] = Field(description="Along each axis.")
    rest: float = Field(gt=0, description="Along all others.")
    limit: float = Field(description="Farther is unfamiliar.")

    @cached_property
    def _arrays(self) -> tuple[Doubles, Doubles, Doubles]:
        axes_KD = np.array(self.axes, dtype=np.float64).reshape(-1, len(self.mean))
        return np.array(self.mean), axes_KD, np.array(self.variances)

    def distances(self, vectors_nD: NDArray[np.floating]) -> Doubles:
        """The mean square of a vector's coordinates, each in deviations along its axis, (n,): 1 is usual."""
        mean_D, axes_KD, variances_K = self._arrays
        away_nD = vectors_nD.astype(np.float64) - mean_D
        along_nK = away_nD @ axes_KD.T
        beside_n = (away_nD**2).sum(1) - (along_nK**2).sum(1)
        found_n: Doubles = ((along_nK**2 / variances_K).sum(1) + np.maximum(beside_n, 0) / self.rest) / len(mean_D)
        return found_n

    @classmethod
    def fit(cls, vectors_nD: NDArray[np.floating]) -> Self:
        """The cloud of these vectors, two at least."""
        values_nD = vectors_nD.astype(np.float64)
        mean_D = values_nD.mean(0)
        variances_D, axes_DD = np.linalg.eigh(np.cov(values_nD.T).reshape(len(mean_D), len(mean_D)))
        count = min(NUM_AXES, len(mean_D) - 1)
        found = cls(
            mean=_short(mean_D),
            axes=tuple(_short(axis_D) for axis_D in axes_DD.T[::-1][:count]),
            variances=_short(np.maximum(variances_D[::-1][:count], THINNEST)),
            rest=max(float(variances_D[::-1][count:].mean()), THINNEST),
            limit=0.0,
        )
        farthest = float(found.distances(values_nD).max())
        return found.model_copy(update={"limit": float(f"{MARGIN * farthest:.4g}")})


def _short(values: Doubles) -> tuple[float, ...]:
    """Five digits: the distance needs no more, and a config is read by people."""
    return tuple(float(f"{value:.5g}") for value in values)
