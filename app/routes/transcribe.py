"""POST /transcribe: what is said in a recording."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.body import AUDIO, FORM, JSON
from app.context import Context, ContextDep
from app.openapi import TRANSCRIBE
from app.schemas.transcribe import TranscribeResponse
from app.served import Model
from app.speech_payload import read_transcribe
from models.errors import InputError

router = APIRouter(tags=["transcribe"])
_transcribe = APIRouter()


@_transcribe.post("/transcribe", openapi_extra=TRANSCRIBE)
async def transcribe(context: ContextDep) -> TranscribeResponse:
    """Write down what is said in a recording, with the place of each word; nothing said is an empty text."""
    request = await context.payload(read_transcribe, accepts=(JSON, FORM, AUDIO))
    model = _model(context, request.model)
    async with context.while_connected():
        transcript, seconds = await context.service.transcribe(
            model, request.inputs, request.decoding, context.call
        )
    return TranscribeResponse.of(transcript, seconds, model, context.request_id)


def _model(context: Context, named: str | None) -> Model:
    if "name" not in context.request.path_params:
        return context.note(context.service.transcriber(named))
    if named is not None:
        raise InputError("model", "given in the path already. Leave the field out.")
    return context.model


async def _named(name: Annotated[str, Path(description="A model's name.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


async def _version(version: Annotated[str, Path(description="A version of the model, from 1.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


router.include_router(_transcribe)
router.include_router(_transcribe, prefix="/models/{name}", dependencies=[Depends(_named)])
router.include_router(
    _transcribe, prefix="/models/{name}/versions/{version}", dependencies=[Depends(_named), Depends(_version)]
)
