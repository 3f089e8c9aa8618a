"""Problems, as every route may answer with them."""

from app.errors import PROBLEM_MEDIA_TYPE
from app.openapi.bodies import Schema
from app.schemas.common import Problem

PROBLEMS = {
    400: "Malformed: not what the content type says",
    401: "No API key, or not a known one",
    404: "No such model, gallery or item",
    405: "Not for this method",
    408: "The body came too slowly",
    409: "It does not go with what is there, as the detail says",
    413: "Too large",
    415: "An unknown media type",
    422: "Understood, but invalid",
    429: "Too many requests wait; Retry-After says when to come back",
    500: "A fault of the service",
    503: "Not ready, or stopping",
    504: "Past the deadline",
}
PROBLEM_RESPONSES: dict[int | str, Schema] = {
    status: {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, text in PROBLEMS.items()
}
