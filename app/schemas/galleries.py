"""Items of a gallery, and what a search among them found."""

from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel, Field

from app.galleries import Bound, is_writable
from app.schemas.common import Problem, is_none
from retrieval.gallery import Match
from retrieval.item import Item


class ItemResponse(BaseModel):
    """An item of a gallery."""

    id: str
    text: str | None
    labels: dict[str, str | list[str]]
    metadata: dict[str, Any]
    image_url: str | None = Field(description="Relative to this server; null where the item has no image.")
    audio_url: str | None = Field(
        None, exclude_if=is_none, description="Relative to this server; left out where the item has no recording."
    )
    sensors_url: str | None = Field(
        None, exclude_if=is_none, description="Relative to this server; left out where the item has no readings."
    )

    @classmethod
    def of(cls, item: Item, gallery: str, root_path: str) -> Self:
        """The item `item` of the gallery named `gallery`."""
        return cls(**_item_fields(item, gallery, root_path))


class MatchResponse(BaseModel):
    """An item that a search found."""

    id: str
    score: float = Field(description="Cosine, -1 to 1.")
    text: str | None
    labels: dict[str, str | list[str]]
    metadata: dict[str, Any]
    image_url: str | None = Field(description="Relative to this server; null where the item has no image.")
    audio_url: str | None = Field(
        None, exclude_if=is_none, description="Relative to this server; left out where the item has no recording."
    )
    sensors_url: str | None = Field(
        None, exclude_if=is_none, description="Relative to this server; left out where the item has no readings."
    )

    @classmethod
    def of(cls, match: Match, gallery: str, root_path: str) -> Self:
        """The match `match` of the gallery named `gallery`."""
        return cls(score=match.score, **_item_fields(match.item, gallery, root_path))


def match_json(match: Match, gallery: str, root_path: str) -> dict[str, Any]:
    """What `MatchResponse` describes, as plain objects."""
    return {"score": match.score, **_item_fields(match.item, gallery, root_path)}


def _item_fields(item: Item, gallery: str, root_path: str) -> dict[str, Any]:
    url = f"{root_path}/galleries/{quote(gallery, safe='')}/items/{quote(item.id, safe='')}"
    fields = {
        "id": item.id,
        "text": item.text,
        "labels": item.labels,
        "metadata": item.metadata,
        "image_url": f"{url}/image" if item.has_image else None,
    }
    more = {"audio_url": f"{url}/audio"} if item.has_audio else {}
    return fields | more | ({"sensors_url": f"{url}/sensors"} if item.has_sensors else {})


class ItemPage(BaseModel):
    """Some items of a gallery, in the order of their ids."""

    items: list[ItemResponse]
    num_items: int = Field(description="Items in the whole gallery.")
    next: str | None = Field(description="The `after` of the next page; null on the last.")


class SearchResponse(BaseModel):
    """What a search found."""

    matches: list[MatchResponse]
    target: str
    next: str | None = Field(description="The `after` of the next page; null where there is none.")
    request_id: str


class ItemResult(BaseModel):
    """What became of one change: 201 and 200 for a new item and a replaced one, 204 for one that is deleted."""

    status: int
    id: str | None = Field(None, exclude_if=is_none)
    problem: Problem | None = Field(None, exclude_if=is_none)


class ItemsResponse(BaseModel):
    """One result for each change, in order."""

    results: list[ItemResult]


class GalleryDescription(BaseModel):
    """A gallery."""

    name: str
    model: str = Field(description="Whose vectors its items have.")
    num_items: int
    targets: list[str]
    dimensions: int
    writable: bool

    @classmethod
    def of(cls, bound: Bound, num_items: int) -> Self:
        """A description of `bound`."""
        gallery = bound.gallery
        return cls(
            name=bound.name,
            model=bound.model.name,
            num_items=num_items,
            targets=list(gallery.targets),
            dimensions=gallery.dimensions,
            writable=is_writable(gallery),
        )


class GalleriesResponse(BaseModel):
    """The galleries that are served."""

    galleries: list[GalleryDescription]
