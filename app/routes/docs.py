"""/docs: the OpenAPI document in a browser, by Swagger UI. All that the page loads comes from here."""

import asyncio
import importlib.util
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

from app.refusals import NotFoundError

router = APIRouter(include_in_schema=False)

# Swagger UI writes style attributes; scripts it needs none but its own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_CACHE = {"Cache-Control": "public, max-age=3600"}

# Addresses are relative, so that they hold under whatever path a proxy serves this.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Intermodal</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. What it shows is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,  // a service of others, which would be sent the document
});
"""
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers=_SAFE)


@router.get("/docs/start.js")
async def start() -> Response:
    """What begins it; within the page, its policy would not let it run."""
    return Response(_START, media_type="text/javascript", headers={**_SAFE, **_CACHE})


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _TYPES:
        raise NotFoundError("There is no such file. /docs is the page.")
    return Response(await asyncio.to_thread(_read, name), media_type=_TYPES[name], headers={**_SAFE, **_CACHE})


@cache
def _read(name: str) -> bytes:
    """A file of the package that carries Swagger UI, whose code is not imported."""
    found = importlib.util.find_spec("fastapi_swagger")
    if found is None or found.origin is None:
        raise NotFoundError(
            "Swagger UI is not installed: pip install fastapi-swagger. /openapi.json is the document."
        )
    return (Path(found.origin).parent / "resources" / name).read_bytes()
