"""POST /transcribe: what is said in a recording."""

from fastapi import APIRouter

from app.body import AUDIO, FORM, JSON
from app.context import Context, ContextDep
from app.openapi.capabilities import TRANSCRIBE
from app.routes.versions import of_every_version
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
        transcript, seconds = await context.service.answering.transcribe(
            model, request.inputs, request.decoding, context.call
        )
    return TranscribeResponse.of(transcript, seconds, model, context.request_id)


def _model(context: Context, named: str | None) -> Model:
    if "name" not in context.request.path_params:
        return context.note(context.service.transcriber(named))
    if named is not None:
        raise InputError("model", "given in the path already. Leave the field out.")
    return context.model


of_every_version(_transcribe, router)
