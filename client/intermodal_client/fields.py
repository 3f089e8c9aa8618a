"""What a request may say, and how files and other fields are put into a body."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Required, TypedDict

File = bytes | str | os.PathLike[str] | BinaryIO
"""A file: its bytes, its path, an open file, or the URL of one that the service is to fetch (a data: URI too)."""

FILES = ("image", "audio")
"""The fields that are files."""


class Inputs(TypedDict, total=False):
    """What to look at: at least one, of those that the model knows."""

    image: File
    text: str
    audio: File
    sensors: Mapping[str, float | Sequence[float | None] | None]


class Retrieval(TypedDict, total=False):
    """Which matches are wanted. A filter: {"labels.colour": "Red", "metadata.year": {"gte": 2015}}."""

    top_k: int
    target: str
    filter: Mapping[str, Any]


class PredictFields(Inputs, Retrieval, total=False):
    """An item of /predict. `num_labels` 0 is all; `coverage` asks for prediction sets."""

    num_labels: int
    coverage: float
    explain: bool
    caption: bool
    retrieve: bool
    gallery: str


class SearchFields(Inputs, Retrieval, total=False):
    """A search: by inputs, or `vector`, or `like` (an item's id)."""

    vector: Sequence[float]
    like: str
    weights: Mapping[str, float]
    min_score: float
    group_by: str
    after: str


class ClassifyFields(Inputs, total=False):
    """Inputs, and how labels are compared with them."""

    template: str
    temperature: float
    model: str


class TranscribeFields(TypedDict, total=False):
    """How a recording is read."""

    num_beams: int
    alternatives: int


class GenerateFields(TypedDict, total=False):
    """What is written about or continued, and how. Without a temperature the likeliest text, by `num_beams`."""

    image: File
    text: str
    max_tokens: int
    num_beams: int
    temperature: float
    top_p: float
    seed: int
    stop: str | Sequence[str]


class LiveFields(TypedDict, total=False):
    """How a stream is read: samples a second, "pcm16" or "float32", time between partial results."""

    rate_hz: int
    encoding: str
    interval_ms: int
    num_beams: int
    model: str


class ItemFields(Inputs, total=False):
    """An item of a gallery."""

    labels: Mapping[str, str | Sequence[str]]
    metadata: Mapping[str, Any]


class ItemChange(ItemFields, total=False):
    """An item to be written, or with `delete` one that is to go."""

    id: Required[str]
    delete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent: JSON, or a form where there are files."""

    json: Mapping[str, Any] | None = None
    files: Mapping[str, tuple[str, bytes]] | None = None
    form: Mapping[str, str] | None = None


def body_of(fields: Mapping[str, Any]) -> Body:
    """Fields as a form where files are among them, which travel as they are; else as JSON. None is left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    files = {name: value for name, value in present.items() if name in FILES}
    if not files or any(_is_url(value) for value in files.values()):
        return Body(json=in_json(present))
    others = {name: value for name, value in present.items() if name not in FILES}
    return Body(
        files={name: (name, read(value)) for name, value in files.items()},
        form={name: value if isinstance(value, str) else json.dumps(value) for name, value in others.items()},
    )


def in_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON, files in base64, or as the URL that the service is to fetch."""
    return {
        name: _file_in_json(value) if name in FILES else value
        for name, value in fields.items()
        if value is not None
    }


def read(file: File) -> bytes:
    """The bytes of a file, read to its end."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, str | os.PathLike):
        return Path(file).read_bytes()
    return file.read()


def _file_in_json(file: File) -> str | dict[str, str]:
    if isinstance(file, str) and _is_url(file):
        return file if file.startswith("data:") else {"url": file}
    return base64.b64encode(read(file)).decode()


def _is_url(file: File) -> bool:
    return isinstance(file, str) and file.startswith(("http://", "https://", "data:"))
