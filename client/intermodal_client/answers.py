"""What a service answers, as dataclasses named in its OpenAPI document's words.

What a newer service adds is left out; `None` is a field that the answer lacks."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Which model answered."""

    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredLabel:
    """A label with its calibrated probability."""

    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedValue:
    """A number that a head predicts; its deviation and unit where there are such."""

    value: float
    std: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of a gallery. Addresses are relative to the service."""

    id: str
    text: str | None
    labels: dict[str, str | list[str]]
    metadata: dict[str, Any]
    image_url: str | None
    audio_url: str | None = None
    sensors_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Item):
    """An item that a search found; `score` is the cosine, -1 to 1."""

    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMap:
    """What each part of an image adds, row by row; the box that they cover, in shares of its sides."""

    rows: int
    columns: int
    values: list[list[float]]
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedWord:
    """A word of the text, from `start` to `end` in it, and what it adds."""

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadExplanation:
    """What each modality adds to one head's answer, and where in image and text."""

    base: float
    contributions: dict[str, float]
    label: str | None = None
    image_map: ImageMap | None = None
    tokens: list[WeighedWord] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfRange:
    """A reading beyond what the channel's range is."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A reason not to trust an answer; of a head, its value, and the limit that it should have kept."""

    kind: str
    about: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether to act upon an answer: whether there is no reason against it."""

    ok: bool
    reasons: list[Doubt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What a model writes about an item; `score` is the mean log-probability of its tokens."""

    text: str
    num_tokens: int
    finish_reason: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model found in one item.

    classes: labels by head, the most probable first.
    prediction_sets: by head, where a coverage was asked for.
    values: numbers by head, where the model has such heads.
    out_of_range: by channel of the sensors, the reading that is farthest out, where one is.
    trust: where the model has rules for it.
    caption: where one was asked for.
    """

    model: ModelRef
    modalities_used: list[str]
    classes: dict[str, list[ScoredLabel]]
    matches: list[Match]
    request_id: str
    coverage: float | None = None
    prediction_sets: dict[str, list[str]] | None = None
    values: dict[str, PredictedValue] | None = None
    explanation: dict[str, HeadExplanation] | None = None
    out_of_range: dict[str, OutOfRange] | None = None
    trust: Trust | None = None
    caption: Caption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A vector of unit norm."""

    embedding: list[float]
    dimensions: int
    model: ModelRef
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Every label that was sent with its share, the most probable first."""

    labels: list[ScoredLabel]
    model: ModelRef
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word, and where it is, in seconds from the start."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Another reading of a whole recording."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said in a recording."""

    text: str
    confidence: float
    words: list[Word]
    duration_seconds: float
    model: ModelRef
    request_id: str
    alternatives: list[Reading] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """What is said in a stream so far.

    type: "partial", which the next of its segment replaces; "final" of a segment; "done" with the whole text.
    """

    type: str
    text: str
    segment: int | None = None
    confidence: float | None = None
    start: float | None = None
    end: float | None = None
    words: list[Word] = field(default_factory=list)
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedText(Caption):
    """What was written, without the text that it continues."""

    model: ModelRef
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """What is new of a text that is being written; the last piece is empty, and has the whole."""

    text: str
    whole: GeneratedText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found; `next` is the `after` of the next page, None where there is none."""

    matches: list[Match]
    target: str
    next: str | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """Some items of a gallery, in the order of their ids."""

    items: list[Item]
    num_items: int
    next: str | None
