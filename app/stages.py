"""What an item is between the stages of the pipe. Each holds what the ones before it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.payload import Inputs
from app.served import Model
from models.batch import Example
from models.predictor import ForwardTimes, Prediction
from retrieval.gallery import Floats, Match

SearchBy = Callable[[Floats], Sequence[Match]]
"""A search that still lacks its vector, (E,) of unit norm."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What comes in.

    search: what to do with the embedding; None where no matches are wanted.
    every_target: whether the vectors that a gallery keeps are wanted, and no prediction.
    """

    model: Model
    inputs: Inputs
    search: SearchBy | None = None
    every_target: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """What the network takes, and the seconds that it took to decode and prepare it."""

    raw: Raw
    example: Example
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the network gave: a prediction, or the item's own vectors by target."""

    ready: Ready
    times: ForwardTimes
    prediction: Prediction | None = None
    vectors: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What a search gave; `found` is what it came from, None where that was a vector or an item of the gallery."""

    matches: Sequence[Match]
    seconds: float
    found: Found | None
