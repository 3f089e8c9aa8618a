"""Which figures of a model mean anything, by the recipe that it was trained by. Measures nothing."""

from collections.abc import Collection
from typing import NamedTuple

from training.objective_config import Unsaid
from training.recipe import Recipe


class Measured(NamedTuple):
    """What is measured beside a head's own figures, and what of these is left out.

    matching: how well texts and images find one another.
    neighbours: whether rows of an equal label lie near one another, by the vectors.
    unsaid: where a subset is judged on rows of one label alone, a head cannot be wrong about it.
    """

    matching: bool = True
    neighbours: bool = True
    unsaid: Unsaid | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "Measured":
        """Matching where it is trained; neighbours there, and of a model that has a gallery to be searched."""
        matches = recipe.objective.matches
        return cls(matches, matches or recipe.gallery.max_items > 0, recipe.objective.unsaid)

    def is_given(self, head: str, part: Collection[str]) -> bool:
        """Whether all rows that a subset of the modalities is judged on have the same label of this head."""
        return self.unsaid is not None and head in self.unsaid.means and self.unsaid.holds(part)


EVERYTHING = Measured()
