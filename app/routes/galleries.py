"""/galleries/{gallery}: items, their images, and search. Without the prefix, the default model's gallery."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from app.context import Context, ContextDep
from app.openapi import JPEG_RESPONSES, SEARCH
from app.payload import read_search
from app.refusals import NotFoundError
from app.schemas.galleries import ItemPage, ItemResponse, MatchResponse, SearchResponse
from retrieval.item import Item

MAX_PAGE_ITEMS = 1000
_CACHE = "public, max-age=3600"

router = APIRouter(tags=["galleries"])
_gallery = APIRouter()


@_gallery.get("/items")
async def list_items(
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ITEMS, description="Most items in the page.")] = 50,
    after: Annotated[str | None, Query(description="The id that the page begins after.")] = None,
) -> ItemPage:
    """List items in the order of their ids."""
    gallery = context.model.some_gallery()
    more = gallery.page(limit=limit + 1, after=after or None)
    page = more[:limit]
    return ItemPage(
        items=[_described(context, item) for item in page],
        num_items=len(gallery),
        next=page[-1].id if len(more) > limit else None,
    )


@_gallery.get(
    "/items/{item_id:path}/image", response_model=None, response_class=Response, responses=JPEG_RESPONSES
)
async def get_image(item_id: str, context: ContextDep) -> Response:
    """Get an item's image."""
    if not context.request.scope.get("raw_path", b"/image").endswith(b"/image"):
        # An id may itself end in "/image"; only the path before decoding tells `a%2Fimage` from `a/image`.
        item = await get_item(f"{item_id}/image", context)
        return Response(item.model_dump_json(), media_type="application/json")
    data = context.model.some_gallery().image(_item(context, item_id).id)
    if data is None:
        raise NotFoundError(f"The item {item_id[:60]!r} has no image.")
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": _CACHE, "X-Content-Type-Options": "nosniff"}
    if etag in context.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


@_gallery.get("/items/{item_id:path}")
async def get_item(item_id: str, context: ContextDep) -> ItemResponse:
    """Get an item."""
    return _described(context, _item(context, item_id))


@_gallery.post("/search", openapi_extra=SEARCH)
async def search(context: ContextDep) -> SearchResponse:
    """Find the items that are nearest to an image, a text, both, a vector, or another item."""
    model = context.model
    request = await context.payload(read_search)
    async with context.while_connected():
        matches = await context.service.search(model, request, context.call)
    return SearchResponse(
        matches=[MatchResponse.of(match, model.name, context.root_path) for match in matches],
        target=request.search.target,
        request_id=context.request_id,
    )


def _item(context: Context, item_id: str) -> Item:
    item = context.model.some_gallery().get(item_id)
    if item is None:
        raise NotFoundError(f"No item {item_id[:60]!r} in the gallery {context.model.name!r}.")
    return item


def _described(context: Context, item: Item) -> ItemResponse:
    return ItemResponse.of(item, context.model.name, context.root_path)


async def _named(gallery: Annotated[str, Path(description="A gallery's name, which is its model's.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


router.include_router(_gallery)
router.include_router(_gallery, prefix="/galleries/{gallery}", dependencies=[Depends(_named)])
