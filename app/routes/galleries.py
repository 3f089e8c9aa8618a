"""/galleries: which there are, making and dropping them; and search, by default in the default model's."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from app.auth import WriteKey
from app.body import JSON
from app.context import ContextDep
from app.galleries import Bound
from app.item_payload import read_gallery
from app.openapi.items import GALLERY
from app.openapi.predict import SEARCH
from app.payload import read_search
from app.places import write_place
from app.refusals import NotFoundError
from app.schemas.galleries import GalleriesResponse, GalleryDescription, MatchResponse, SearchResponse

Name = Annotated[str, Path(description="A gallery's name. A model's own is named like the model.")]

router = APIRouter(tags=["galleries"])
_gallery = APIRouter()


@router.get("/galleries")
async def list_galleries(context: ContextDep) -> GalleriesResponse:
    """List the galleries, each with the model that it is of."""
    galleries = context.service.galleries
    return GalleriesResponse(galleries=[await _described(galleries.get(name)) for name in galleries.models()])


@router.get("/galleries/{gallery}")
async def get_gallery(gallery: Name, context: ContextDep) -> GalleryDescription:
    """Describe a gallery."""
    return await _described(context.service.galleries.get(gallery))


@router.put(
    "/galleries/{gallery}",
    dependencies=[WriteKey],
    openapi_extra=GALLERY,
    responses={201: {"description": "It is new", "model": GalleryDescription}},
)
async def create_gallery(gallery: Name, context: ContextDep, response: Response) -> GalleryDescription:
    """Make a gallery of a model, of the default one where none is named; an existing one stays as it is."""
    model = await context.optional_payload(read_gallery, accepts=(JSON,))
    is_new = await context.service.galleries.create(gallery, model)
    response.status_code = 201 if is_new else 200
    return await _described(context.service.galleries.get(gallery))


@router.delete("/galleries/{gallery}", dependencies=[WriteKey], status_code=204)
async def drop_gallery(gallery: Name, context: ContextDep) -> None:
    """Delete a gallery with all of its items. A model's own gallery stays."""
    if not await context.service.galleries.drop(gallery):
        raise NotFoundError(f"No gallery {gallery[:60]!r} is served here.")


@_gallery.post("/search", openapi_extra=SEARCH)
async def search(context: ContextDep) -> SearchResponse:
    """Find the items nearest to an image, text, recording, readings, several, a vector, or another item."""
    bound = context.bound
    request = await context.payload(read_search)
    async with context.while_connected():
        matches = await context.service.answering.search(bound, request, context.call)
    full = len(matches) == request.search.top_k
    return SearchResponse(
        matches=[MatchResponse.of(match, bound.name, context.root_path) for match in matches],
        target=request.search.target,
        next=write_place(matches[-1]) if full else None,
        request_id=context.request_id,
    )


async def _described(bound: Bound) -> GalleryDescription:
    num_items = await asyncio.to_thread(len, bound.gallery)
    return GalleryDescription.of(bound, num_items)


async def named_gallery(gallery: Name) -> None:
    """Document the path's parameter; `Context.bound` reads it."""


def everywhere(routes: APIRouter) -> APIRouter:
    """The routes for the default model's gallery, and for a named one."""
    both = APIRouter(tags=["galleries"])
    both.include_router(routes)
    both.include_router(routes, prefix="/galleries/{gallery}", dependencies=[Depends(named_gallery)])
    return both


router.include_router(everywhere(_gallery))
