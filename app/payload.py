"""Raw fields to a checked request: one schema, whichever of the three media types they came by.

Knows the fields of the HTTP contract; decodes no image and runs no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.fields import FieldReader, RawFields, object_fields
from app.media import MEDIA
from app.places import read_place
from app.settings import Settings
from app.upload import Upload
from models.config import MODALITIES
from models.errors import InputError, TooLargeError
from models.sample import Readings
from retrieval.errors import QueryError
from retrieval.filter_parsing import parse_field, parse_filter
from retrieval.gallery import DEFAULT_TARGET, Query

MODALITY_FIELDS = MODALITIES
RETRIEVAL_FIELDS = ("top_k", "target", "filter")
PREDICT_FIELDS = (
    *MODALITY_FIELDS,
    "num_labels",
    "coverage",
    "explain",
    "caption",
    "retrieve",
    "gallery",
    *RETRIEVAL_FIELDS,
)
MAX_VERSION = 1_000_000_000
MAX_WEIGHT = 1_000
DEFAULT_MATCHES = 5
SEARCH_FIELDS = (
    *MODALITY_FIELDS, "vector", "like", "weights", "min_score", "group_by", "after", *RETRIEVAL_FIELDS
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a model is shown: some modalities, at least one; files of those that come in files.

    sensors: readings by channel, not compared with a model's own channels yet.
    """

    image: Upload | None = None
    text: str | None = None
    audio: Upload | None = None
    sensors: Readings | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are there, in the order of MODALITIES."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @property
    def files(self) -> tuple[Upload, ...]:
        """The files among them."""
        return tuple(file for name in MEDIA if (file := getattr(self, name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """A checked request of /predict; `num_labels` 0 is all.

    coverage: of the prediction sets, 0 < coverage < 1; None where none are wanted.
    explain: whether to say what the answer rests on. caption: whether to write a text about the item.
    search: None where no matches are wanted.
    """

    inputs: Inputs
    num_labels: int = 5
    coverage: float | None = None
    explain: bool = False
    caption: bool = False
    search: Query | None
    gallery: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A checked search; exactly one of `inputs`, `vector` and `like` is there.

    weights: by modality of the inputs, how much its own vector counts; None asks by the fused vector.
    """

    search: Query
    inputs: Inputs | None = None
    weights: Mapping[str, float] | None = None
    vector: NDArray[np.float32] | None = None
    like: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """Which version to load, and how; see `Lifecycle.load`."""

    version: int | None = None
    current: bool = True
    keep: bool = False


def read_load(fields: RawFields, settings: Settings) -> LoadOrder:
    """Check the fields of a model's load. Raises InputError."""
    reader = FieldReader(fields, ("version", "current", "keep"), settings)
    return LoadOrder(
        version=_version(reader),
        current=reader.boolean("current", default=True),
        keep=reader.boolean("keep", default=False),
    )


def read_unload(fields: RawFields, settings: Settings) -> int | None:
    """Check the fields of a model's unload: the version, None for all. Raises InputError."""
    return _version(FieldReader(fields, ("version",), settings))


def _version(reader: FieldReader) -> int | None:
    return reader.integer("version", 0, least=1, most=MAX_VERSION) or None


def read_predict(fields: RawFields, settings: Settings) -> PredictRequest:
    """Check the fields of /predict.

    Raises:
        InputError: an unknown field, a faulty value, or nothing that a model could be shown.
        QueryError: a faulty filter.
    """
    reader = FieldReader(fields, PREDICT_FIELDS, settings)
    search, retrieve = _search(reader, settings), reader.boolean("retrieve", default=True)
    return PredictRequest(
        inputs=required(read_inputs(reader)),
        num_labels=reader.integer("num_labels", 5, least=0),
        coverage=reader.share("coverage"),
        explain=reader.boolean("explain", default=False),
        caption=reader.boolean("caption", default=False),
        search=search if retrieve else None,
        gallery=reader.text("gallery"),
    )


def read_batch(fields: RawFields, settings: Settings) -> list[PredictRequest | Exception]:
    """Check the items of /predict/batch, each for itself: in order, a request or what is wrong with it.

    Raises:
        InputError: no list of items.
        TooLargeError: more items than the limit.
    """
    FieldReader(fields, ("items",), settings)
    items = fields.values.get("items")
    if not isinstance(items, list) or not items:
        raise InputError("items", "must be a list of at least one object, each with the fields of /predict.")
    if len(items) > settings.max_items_per_batch:
        limit = settings.max_items_per_batch
        raise TooLargeError("items", f"{len(items):,} items; the limit is {limit:,}. Send several batches.")
    _check_count(len(items), sum(map(_asked_matches, items)), settings)  # before any is read
    return [_read_item(item, settings) for item in items]


def _asked_matches(item: object) -> int:
    """How many matches an item asks for, right or wrong."""
    if not isinstance(item, dict) or item.get("retrieve") is False:
        return 0
    count = item.get("top_k")
    return count if isinstance(count, int) and count > 0 else DEFAULT_MATCHES


def check_matches(requests: Sequence[PredictRequest], settings: Settings) -> None:
    """Refuse a batch that asks for too many matches in all: a small body would make a huge answer.

    Raises:
        TooLargeError: more than `max_matches_per_batch`; a single item is let through.
    """
    _check_count(len(requests), sum(request.search.top_k for request in requests if request.search), settings)


def _check_count(num_items: int, num_matches: int, settings: Settings) -> None:
    if num_items > 1 and num_matches > (limit := settings.max_matches_per_batch):
        detail = (
            f"{num_matches:,} matches in all; the limit is {limit:,}. Ask each for fewer, or send several batches."
        )
        raise TooLargeError("top_k", detail)


def _read_item(item: object, settings: Settings) -> PredictRequest | Exception:
    try:
        return read_predict(RawFields(object_fields(item)), settings)
    except (InputError, QueryError) as error:
        return error


def read_embed(fields: RawFields, settings: Settings) -> Inputs:
    """Check the fields of /embed. Raises as `read_predict` does."""
    return required(read_inputs(FieldReader(fields, MODALITY_FIELDS, settings)))


def read_search(fields: RawFields, settings: Settings) -> SearchRequest:
    """Check the fields of a gallery's search; raises as `read_predict` does, and for two kinds of query."""
    reader = FieldReader(fields, SEARCH_FIELDS, settings)
    group_by = reader.text("group_by")
    inputs = read_inputs(reader)
    request = SearchRequest(
        search=replace(
            _search(reader, settings),
            min_score=reader.number("min_score", -1.0),
            group_by=None if group_by is None else parse_field(group_by, "group_by"),
            after=read_place(reader.text("after")),
        ),
        inputs=inputs,
        weights=_weights(reader, inputs),
        vector=reader.vector("vector"),
        like=reader.text("like"),
    )
    if sum(part is not None for part in (request.inputs, request.vector, request.like)) != 1:
        raise InputError(
            "body", "a search is by what a model is shown, or by vector, or by like (an id). Send one of these."
        )
    return request


def _weights(reader: FieldReader, inputs: Inputs | None) -> dict[str, float] | None:
    value = reader.json("weights")
    if value is None:
        return None
    given = () if inputs is None else inputs.modalities
    example = 'Write, say, {"image": 0.7, "text": 0.3}.'
    if not isinstance(value, dict) or not value:
        raise InputError("weights", f"must be an object of numbers by modality. {example}")
    for name, weight in value.items():
        if name not in given:
            raise InputError(
                "weights", f"{name[:60]!r} is not among what is sent ({', '.join(given) or 'nothing'})."
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= MAX_WEIGHT:
            raise InputError("weights", f"that of {name!r} must be a number, at most {MAX_WEIGHT:,}. {example}")
    return {name: float(weight) for name, weight in value.items()}


def required(inputs: Inputs | None) -> Inputs:
    """The inputs.

    Raises:
        InputError: there are none.
    """
    if inputs is None:
        known = " or ".join(MODALITY_FIELDS)
        raise InputError(known, f"nothing to look at. Send at least one of: {', '.join(MODALITY_FIELDS)}.")
    return inputs


def read_inputs(reader: FieldReader) -> Inputs | None:
    """What there is of the modalities, None where there is nothing. Raises InputError."""
    files = {name: reader.file(name) for name in MEDIA}
    inputs = Inputs(**files, text=reader.text("text"), sensors=reader.readings("sensors"))
    return None if inputs == Inputs() else inputs


def _search(reader: FieldReader, settings: Settings) -> Query:
    where = reader.json("filter")
    return Query(
        target=reader.text("target") or DEFAULT_TARGET,
        top_k=reader.integer("top_k", DEFAULT_MATCHES, least=1, most=settings.max_top_k),
        where=None if where is None else parse_filter(where),
    )
