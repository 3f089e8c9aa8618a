"""POST /embed: inputs to a vector."""

from fastapi import APIRouter

from app.context import ContextDep
from app.openapi.predict import EMBED
from app.payload import read_embed
from app.schemas.predict import EmbedResponse

router = APIRouter(tags=["embed"])


@router.post("/embed", openapi_extra=EMBED)
async def embed(context: ContextDep) -> EmbedResponse:
    """Turn an image, text, recording, readings or several into one vector of the space that they share."""
    model = context.model
    inputs = await context.payload(read_embed)
    async with context.while_connected():
        answer = await context.service.answering.embed(model, inputs, context.call)
    return EmbedResponse.of(answer, context.request_id)
