"""GET / and what it is made of: the page to try the service with."""

from functools import cache

from fastapi import APIRouter, Request, Response

from app.refusals import NotFoundError
from app.static_files import read_files

router = APIRouter(include_in_schema=False)
_files = cache(read_files)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Show the page."""
    return _files()["index.html"].response(request)


@router.api_route("/web/{name}", methods=["GET", "HEAD"])
async def part(name: str, request: Request) -> Response:
    """Get a style, a script or a picture of the page."""
    found = _files().get(name)
    if found is None:
        raise NotFoundError(f"The page has no file {name[:60]!r}.")
    return found.response(request)
