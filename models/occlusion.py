"""What of an image or a text is left out, and where what that costs is written down.

Occlusion: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2.

# H, W of the prepared image, R rows and C columns of the map"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REACH = 3
"""Cells that a window is wide and high: a window of one hides too little to change much (decision 34)."""

Pixels = NDArray[np.uint8]


class Detail(NamedTuple):
    """How finely is explained: rows and columns of a heat map, and pieces of a text; 0 is none."""

    cells: int = 7
    words: int = 32


DETAIL = Detail()


class Window(NamedTuple):
    """A square of cells: the first row and column, and those behind the last."""

    top: int
    left: int
    bottom: int
    right: int


class Word(NamedTuple):
    """A piece of a text, in characters from `start` up to `end`, and the places of its token ids."""

    start: int
    end: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells` rows and columns over a whole image, and the windows that slide over it by one cell."""

    cells: int

    @property
    def windows(self) -> list[Window]:
        """In reading order; one over everything where the grid has fewer cells than a window."""
        reach = min(REACH, self.cells)
        starts = range(self.cells - reach + 1)
        return [Window(top, left, top + reach, left + reach) for top in starts for left in starts]

    def occlude(self, pixels_HW3: Pixels, window: Window) -> Pixels:
        """A copy with the window in the image's mean colour."""
        rows, columns = (np.linspace(0, side, self.cells + 1).round().astype(int) for side in pixels_HW3.shape[:2])
        copy = pixels_HW3.copy()
        hidden = copy[rows[window.top] : rows[window.bottom], columns[window.left] : columns[window.right]]
        hidden[:] = pixels_HW3.mean(axis=(0, 1)).round()
        return copy

    def spread(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each window cost, in their order, to a map (R, C): a cell's mean over the windows that cover it."""
        total_RC, count_RC = np.zeros((2, self.cells, self.cells))
        for cost, (top, left, bottom, right) in zip(costs, self.windows, strict=True):
            total_RC[top:bottom, left:right] += cost
            count_RC[top:bottom, left:right] += 1
        return total_RC / count_RC


def spans(words: list[Word], most: int) -> list[Word]:
    """At most `most` pieces of about as many words each; a text of fewer words stays as it is."""
    if len(words) <= most:
        return words
    edges = np.linspace(0, len(words), most + 1).round().astype(int)
    parts = [words[begin:end] for begin, end in pairwise(edges)]
    return [
        Word(part[0].start, part[-1].end, tuple(place for word in part for place in word.places)) for part in parts
    ]
