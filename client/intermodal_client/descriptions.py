"""What a service says of its models and its galleries; read as `answers` are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A gallery, described."""

    name: str
    model: str
    num_items: int
    targets: list[str]
    dimensions: int
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A classification head."""

    labels: list[str]
    multi_label: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueHead:
    """A head that gives a number; mean and deviation of what it was trained on."""

    mean: float
    std: float
    uncertainty: bool
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel of sensors: its range, and mean and deviation of what it was trained on."""

    low: float | None
    high: float | None
    mean: float
    std: float
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """What a model takes as sensors: its window and its channels."""

    steps: int
    channels: dict[str, Channel]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionHead:
    """A head that writes texts: what it looks at, whether a text alone is continued too, and its longest text."""

    reads: list[str]
    continues_text_alone: bool
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGallery:
    """A model's own gallery."""

    name: str
    num_items: int
    targets: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A version of a model that is served."""

    name: str
    version: int
    default: bool
    current: bool
    versions: list[int]
    available: list[int]
    modalities: list[str]
    heads: dict[str, Head]
    transcribes: bool
    generates: bool
    dimensions: int
    embedding_id: str
    engine: str
    device: str
    gallery: ModelGallery | None
    values: dict[str, ValueHead] | None = None
    sensors: Sensors | None = None
    caption: CaptionHead | None = None
