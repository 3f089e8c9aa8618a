"""GET /models: what is served."""

from fastapi import APIRouter

from app.context import ContextDep
from app.schemas.models import ModelResponse, ModelsResponse

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def list_models(context: ContextDep) -> ModelsResponse:
    """List the models that are served, the default first."""
    default, *others = context.service.models
    described = [
        ModelResponse.of(default, default=True),
        *(ModelResponse.of(model, default=False) for model in others),
    ]
    return ModelsResponse(models=described)


@router.get("/{name}")
async def get_model(name: str, context: ContextDep) -> ModelResponse:
    """Describe one model: its modalities, heads and labels, engine and gallery."""
    model = context.service.model(name)
    return ModelResponse.of(model, default=model is context.service.models[0])
