"""What an item is between the stages of the pipe. Each holds what the ones before it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.payload import Inputs
from app.served import Model
from models.batch import Example
from models.engine import EncodedArrays
from models.explainer import Original, Subject, Variation
from models.occlusion import DETAIL, Detail
from models.predictor import Prediction
from models.sample import Sample
from models.shapley import Doubles
from models.transcript import GREEDY, Decoding, Transcript
from retrieval.gallery import Floats, Match

SearchBy = Callable[[Floats], Sequence[Match]]
"""A search that still lacks its vector, (E,) of unit norm."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What comes in.

    inputs: as they came, or decoded.
    want: what the network is to give: a prediction, the vectors that a gallery keeps, a transcript, a text;
        what an explanation begins with, or what it costs to leave something out.
    for_text: whether a text is written from the same encoding, which is kept for that.
    search: what to do with a prediction's embedding; None where no matches are wanted.
    """

    model: Model
    inputs: Inputs | Sample
    want: Literal["prediction", "vectors", "transcript", "text", "original", "fall"] = "prediction"
    search: SearchBy | None = None
    decoding: Decoding = GREEDY
    detail: Detail = DETAIL
    for_text: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """What the network takes, and the seconds that it took to decode and prepare it.

    examples: one; of what is to be transcribed, one for each utterance, and starts: where these begin.
    audio_seconds: of its recording; 0 where there is none.
    subject: what is to be explained. varied: of what, and what is left out.
    """

    raw: Raw
    examples: tuple[Example, ...]
    seconds: float
    audio_seconds: float = 0.0
    starts: tuple[float, ...] = ()
    subject: Subject | None = None
    varied: tuple[Original, Variation] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the network gave: a prediction, or the item's own vectors by target, or a transcript.

    seconds: of the pass, by its stages.
    original: of an explanation. fall: by what contributions fall, of what was left out.
    encoded: the item, of one row in the host's memory, where a text is to be written about it.
    queued: seconds of waiting so far.
    """

    ready: Ready
    seconds: Mapping[str, float]
    prediction: Prediction | None = None
    vectors: Mapping[str, Floats] = field(default_factory=dict)
    transcript: Transcript | None = None
    original: Original | None = None
    fall: Doubles | None = None
    encoded: EncodedArrays | None = None
    queued: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What a search gave; `found` is what it came from, None where that was a vector or an item of the gallery."""

    matches: Sequence[Match]
    seconds: float
    found: Found | None
