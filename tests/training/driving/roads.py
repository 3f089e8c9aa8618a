"""Roads whose numbers can be checked by hand."""

import numpy as np

from training.driving.road import Line


def circle(radius: float, points: int = 360) -> Line:
    """Driven anticlockwise, from (radius, 0): the centre lies to the left."""
    angles_N = np.arange(points) / points * 2 * np.pi
    return Line(radius * np.stack([np.cos(angles_N), np.sin(angles_N)], axis=1))


def square(side: int) -> Line:
    """A point a unit, anticlockwise from (0, 0)."""
    way = np.arange(side, dtype=float)
    zero, full = np.zeros(side), np.full(side, float(side))
    sides = [(way, zero), (full, way), (side - way, full), (zero, side - way)]
    return Line(np.concatenate([np.stack(pair, axis=1) for pair in sides]))
