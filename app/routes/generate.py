"""POST /generate: a text about an image, or on from a text; as a whole, or while it becomes."""

import re
from typing import Any

from fastapi import APIRouter, Response

from app import strict_json
from app.body import FORM, IMAGE, JSON
from app.context import Context, ContextDep
from app.errors import log_failure, problem_of, status_of
from app.events import EVENTS, EventResponse, EventStream, Hear
from app.generate_payload import GenerateRequest, read_generate
from app.openapi.generate import GENERATE, GENERATE_RESPONSES
from app.routes.versions import of_every_version
from app.schemas.generate import GenerateResponse, text_json
from app.served import Model
from models.errors import InputError

router = APIRouter(tags=["generate"])
_generate = APIRouter()

_STOP_SLACK_SECONDS = 2.0  # for what is told last, and for the server to close
_WANTS_EVENTS = re.compile(rf"\s*{re.escape(EVENTS)}\s*(;(?!\s*q=0(\.0*)?\s*(;|$)).*)?", re.IGNORECASE)


@_generate.post("/generate", openapi_extra=GENERATE, response_model=GenerateResponse, responses=GENERATE_RESPONSES)
async def generate(context: ContextDep) -> Response:
    """Write a text about an image, or on from a text; as a whole, or as server-sent events while it becomes."""
    request = await context.payload(read_generate, accepts=(JSON, FORM, IMAGE))
    model = _model(context, request.model)
    stream = _wants_events(context) if request.stream is None else request.stream
    if not stream:
        async with context.while_connected():
            whole = await _written(context, model, request)
        return Response(strict_json.write(whole), media_type=JSON)
    events = EventStream(
        lambda hear: _written(context, model, request, hear),
        problem=lambda error: _problem(context, error),
        keep_alive_seconds=context.settings.keep_alive_seconds,
        seconds_to_stop=lambda: _seconds_to_stop(context),
    )
    async with context.while_connected():
        await events.begin()  # what fails before the first word has a status of its own
    return EventResponse(events)


async def _written(
    context: Context, model: Model, request: GenerateRequest, hear: Hear | None = None
) -> dict[str, Any]:
    written = await context.service.answering.generate(model, request.inputs, request.writing, context.call, hear)
    return text_json(written.caption, model, context.request_id)


def _problem(context: Context, error: Exception) -> dict[str, Any]:
    if status_of(error) == 500:
        log_failure(error, context.request.scope, context.request_id)
    return problem_of(error, context.request_id)


def _seconds_to_stop(context: Context) -> float | None:
    if not context.service.draining:
        return None
    return max(0.0, context.settings.shutdown_timeout_seconds - _STOP_SLACK_SECONDS)


def _wants_events(context: Context) -> bool:
    """Whether the header Accept asks for events by their name."""
    accepted = ",".join(context.request.headers.getlist("accept")).split(",")
    return any(_WANTS_EVENTS.fullmatch(part) for part in accepted)


def _model(context: Context, named: str | None) -> Model:
    if "name" not in context.request.path_params:
        return context.note(context.service.generator(named))
    if named is not None:
        raise InputError("model", "given in the path already. Leave the field out.")
    return context.model


of_every_version(_generate, router)
