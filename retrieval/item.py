"""What a gallery holds, as people see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that can be found. Its vectors and what it was sent with are kept apart and asked for by id."""

    id: str
    text: str | None = None
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    has_image: bool = False
    has_audio: bool = False
    has_sensors: bool = False
