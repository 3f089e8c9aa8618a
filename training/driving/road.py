"""A road: its centre line as points, where a place lies along and beside it, and how tightly it bends.

Knows geometry; knows no simulator. Lengths are the simulator's units, of which the road is some 13 wide.

# N points of a closed line"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_WIDTH = 40 / 6
"""From the centre line to the edge of the road, in units."""

SEARCH_POINTS = 12
"""How far from where a car was it is looked for, either way, so that a road that comes by beside it is not taken
for its own: some 40 units, a second's way at most."""


class Place(NamedTuple):
    """Where something is, as the road has it.

    point: the number of the nearest point of the line.
    offset: units beside the line; positive to the left of whoever drives along it.
    """

    point: int
    offset: float


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A closed line that is driven along in the order of its points."""

    points_N2: Floats

    @property
    def steps(self) -> Floats:
        """(N, 2): from each point to the next."""
        return np.roll(self.points_N2, -1, axis=0) - self.points_N2

    @property
    def lengths(self) -> Floats:
        """(N,): from each point to the next, in units."""
        lengths_N: Floats = np.linalg.norm(self.steps, axis=1)
        return lengths_N

    @property
    def lefts(self) -> Floats:
        """(N, 2): unit vectors to the left of the way, at each point."""
        along_N2 = np.roll(self.points_N2, -1, axis=0) - np.roll(self.points_N2, 1, axis=0)
        along_N2 /= np.linalg.norm(along_N2, axis=1, keepdims=True)
        return np.stack([-along_N2[:, 1], along_N2[:, 0]], axis=1)

    @property
    def bends(self) -> Floats:
        """(N,): the curvature at each point, in radians a unit, positive to the left."""
        after_N2, lengths_N = self.steps, self.lengths
        before_N2 = np.roll(after_N2, 1, axis=0)
        cross_N = before_N2[:, 0] * after_N2[:, 1] - before_N2[:, 1] * after_N2[:, 0]
        turns_N = np.arctan2(cross_N, (before_N2 * after_N2).sum(1))
        bends_N: Floats = turns_N / ((lengths_N + np.roll(lengths_N, 1)) / 2)
        return bends_N

    def shifted(self, offset: float) -> "Line":
        """The line beside this one, to the left by `offset` units."""
        return Line(self.points_N2 + offset * self.lefts)

    def smoothed(self, reach: int) -> "Line":
        """Each point is the mean of those up to `reach` before and after it: bends are cut on their inner side."""
        shifts = range(-reach, reach + 1)
        return Line(np.mean([np.roll(self.points_N2, shift, axis=0) for shift in shifts], axis=0))

    def locate(self, x: float, y: float, near: int | None = None) -> Place:
        """The place of (x, y).

        Args:
            x: in units.
            y: the same.
            near: the number of the point where it was shortly before; without it, the whole line is searched.
        """
        size = len(self.points_N2)
        indices = (
            np.arange(size) if near is None else np.arange(near - SEARCH_POINTS, near + SEARCH_POINTS + 1) % size
        )
        away_n2 = np.array([x, y]) - self.points_N2[indices]
        index = int(indices[np.argmin((away_n2**2).sum(1))])
        left = self.points_N2[(index + 1) % size] - self.points_N2[index - 1]
        left = np.array([-left[1], left[0]]) / np.linalg.norm(left)
        return Place(index, float(left @ (np.array([x, y]) - self.points_N2[index])))

    def ahead(self, number: int, distance: float) -> Floats:
        """The point `distance` units along the line from a point, between points by interpolation."""
        size = len(self.points_N2)
        for step in range(size):
            here, there = self.points_N2[(number + step) % size], self.points_N2[(number + step + 1) % size]
            length = float(np.hypot(*(there - here)))
            if distance <= length:
                point: Floats = here + (there - here) * (distance / length)
                return point
            distance -= length
        last: Floats = self.points_N2[number]
        return last
