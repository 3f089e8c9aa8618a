"""/galleries/{gallery}/items: the items of a gallery, one by one, by page, and many at once; and their files."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.auth import WriteKey
from app.body import JSON
from app.context import Context, ContextDep
from app.errors import log_failure, problem_of, status_of
from app.item_payload import ItemDeletion, read_item, read_items
from app.openapi.items import AUDIO_RESPONSES, IMAGE_RESPONSES, ITEM, ITEMS, JPEG_RESPONSES, SENSORS_RESPONSES
from app.refusals import NotFoundError
from app.routes.galleries import everywhere
from app.schemas.galleries import ItemPage, ItemResponse, ItemsResponse
from app.writing import Outcome, change_items, delete_item, no_item, put_item
from models.decode import media_type_of
from models.decode_audio import audio_type_of
from retrieval.item import Item

MAX_PAGE_ITEMS = 1000
_CACHE = "public, max-age=3600"
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}

_TYPES: Mapping[str, Callable[[bytes], str]] = {"audio": audio_type_of, "sensors": lambda _: JSON}

_items = APIRouter()


@_items.get("/items")
async def list_items(
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ITEMS, description="Most items in the page.")] = 50,
    after: Annotated[str | None, Query(description="The id that the page begins after.")] = None,
) -> ItemPage:
    """List items in the order of their ids."""
    gallery = context.bound.gallery
    more = await asyncio.to_thread(partial(gallery.page, limit=limit + 1, after=after or None))
    page = more[:limit]
    return ItemPage(
        items=[_described(context, item) for item in page],
        num_items=await asyncio.to_thread(len, gallery),
        next=page[-1].id if len(more) > limit else None,
    )


@_items.post("/items:batch", dependencies=[WriteKey], openapi_extra=ITEMS, response_model=ItemsResponse)
async def change(context: ContextDep) -> dict[str, Any]:
    """Write and delete many items, in order; each succeeds or fails for itself."""
    bound = context.bound
    bound.writable()
    changes = await context.payload(read_items, accepts=(JSON,))
    async with context.while_connected():
        outcomes = await change_items(context.service, bound, changes, context.call)
    return {"results": [_result(context, outcome) for outcome in outcomes]}


@_items.get("/items/{item_id:path}/image", response_model=None, response_class=Response, responses=IMAGE_RESPONSES)
async def get_image(item_id: str, context: ContextDep) -> Response:
    """Get an item's image: the file that was sent, or the thumbnail where only that is kept."""
    return await _file(context, item_id, "image", context.bound.gallery.image)


@_items.get(
    "/items/{item_id:path}/thumbnail", response_model=None, response_class=Response, responses=JPEG_RESPONSES
)
async def get_thumbnail(item_id: str, context: ContextDep) -> Response:
    """Get a small JPEG of an item's image."""
    return await _file(context, item_id, "thumbnail", context.bound.gallery.thumbnail)


@_items.get("/items/{item_id:path}/audio", response_model=None, response_class=Response, responses=AUDIO_RESPONSES)
async def get_audio(item_id: str, context: ContextDep) -> Response:
    """Get an item's recording: the file that was sent."""
    return await _file(context, item_id, "audio", context.bound.gallery.audio)


@_items.get(
    "/items/{item_id:path}/sensors", response_model=None, response_class=Response, responses=SENSORS_RESPONSES
)
async def get_sensors(item_id: str, context: ContextDep) -> Response:
    """Get an item's readings: as they were sent, without channels that have none."""
    return await _file(context, item_id, "sensors", context.bound.gallery.sensors)


@_items.get("/items/{item_id:path}")
async def get_item(item_id: str, context: ContextDep) -> ItemResponse:
    """Get an item."""
    item = await asyncio.to_thread(context.bound.gallery.get, item_id)
    if item is None:
        raise no_item(context.bound, item_id)
    return _described(context, item)


@_items.put(
    "/items/{item_id:path}",
    dependencies=[WriteKey],
    openapi_extra=ITEM,
    responses={201: {"description": "The id is new", "model": ItemResponse}},
)
async def write_item(item_id: str, context: ContextDep, response: Response) -> ItemResponse:
    """Write an item, whole: what was there under this id is gone. Answered once it is on the disk."""
    bound = context.bound
    bound.writable()
    write = await context.payload(lambda fields, settings: read_item(fields, settings, item_id))
    written = await put_item(context.service, bound, write, context.call)
    response.status_code = 201 if written.is_new else 200
    return _described(context, written.item)


@_items.delete("/items/{item_id:path}", dependencies=[WriteKey], status_code=204)
async def remove_item(item_id: str, context: ContextDep) -> None:
    """Delete an item."""
    await delete_item(context.service, context.bound, item_id)


async def _file(context: Context, item_id: str, kind: str, read: Callable[[str], bytes | None]) -> Response:
    if not context.request.scope.get("raw_path", b"").endswith(f"/{kind}".encode()):
        # An id may itself end so; only the path before decoding tells `a%2Fimage` from `a/image`.
        item = await get_item(f"{item_id}/{kind}", context)
        return Response(item.model_dump_json(), media_type="application/json")
    found = await asyncio.to_thread(_read, read, item_id, kind)
    if found is None:
        await get_item(item_id, context)  # or there is no such item
        raise NotFoundError(f"The item {item_id[:60]!r} has no {kind}.")
    data, etag, media_type = found
    headers = {"ETag": etag, "Cache-Control": _CACHE, **_SAFE}
    if etag in context.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _read(read: Callable[[str], bytes | None], item_id: str, kind: str) -> tuple[bytes, str, str] | None:
    """A file, its ETag and its media type. A large one takes long to hash."""
    data = read(item_id)
    if data is None:
        return None
    media_type = _TYPES.get(kind, media_type_of)(data)
    return data, f'"{hashlib.sha256(data).hexdigest()[:32]}"', media_type


def _result(context: Context, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, ItemDeletion):
        return {"status": 204, "id": outcome.id}
    if not isinstance(outcome, Exception):
        return {"status": 201 if outcome.is_new else 200, "id": outcome.item.id}
    status = status_of(outcome)
    if status == 500:
        log_failure(outcome, context.request.scope, context.request_id)
    return {"status": status, "problem": problem_of(outcome, context.request_id)}


def _described(context: Context, item: Item) -> ItemResponse:
    return ItemResponse.of(item, context.bound.name, context.root_path)


router = everywhere(_items)
