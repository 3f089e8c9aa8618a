"""/v1: OpenAI's embeddings and models, for whatever client speaks them (docs/decisions/0032)."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.body import JSON
from app.call import Call
from app.context import ContextDep
from app.dialects import OPENAI
from app.embeddings_payload import check_dimensions, in_row, read_embeddings
from app.openapi.protocols import EMBEDDINGS, problems
from app.payload import Inputs
from app.schemas.embeddings import EmbeddingsResponse, OpenAIModel, OpenAIModels, OpenAIProblem, model_id
from app.served import Answer, Model
from app.service import Service
from app.together import all_or_none
from models.errors import InputError

router = APIRouter(prefix=OPENAI, tags=["openai"], responses=problems(OpenAIProblem))


@router.post("/embeddings", openapi_extra=EMBEDDINGS)
async def embeddings(context: ContextDep) -> EmbeddingsResponse:
    """Turn texts, images, recordings, readings, or items of several into vectors, as OpenAI's route does texts."""
    request = await context.payload(read_embeddings, accepts=(JSON,))
    model = context.note(_model(context.service, request.model))
    check_dimensions(request.dimensions, model.embedding.dimensions)

    async def one(inputs: Inputs, call: Call) -> Answer:
        return await context.service.answering.embed(model, inputs, call)

    def named(error: InputError, row: int) -> InputError:
        return type(error)(in_row("input", row, len(request.items)), error.detail)

    answers = await all_or_none(context, request.items, one, named)
    name = model_id(model, context.service.registry)
    return EmbeddingsResponse.of(answers, name, request.dimensions, as_base64=request.as_base64)


@router.get("/models")
async def list_openai_models(context: ContextDep) -> OpenAIModels:
    """List the models as OpenAI does: by name, and versions that are not the current one by name@version."""
    registry = context.service.registry
    return OpenAIModels(data=[OpenAIModel.of(model, registry) for model in registry.models])


@router.get("/models/{model}")
async def get_openai_model(
    model: Annotated[str, Path(description="A model's name, or name@version.")], context: ContextDep
) -> OpenAIModel:
    """Get a model as OpenAI does."""
    return OpenAIModel.of(_model(context.service, model), context.service.registry)


def _model(service: Service, named: str | None) -> Model:
    """The model by name or name@version.

    Raises:
        NotFoundError: listing those that there are.
    """
    name, _, version = (named or "").partition("@")
    return service.model(name or None, version or None)
