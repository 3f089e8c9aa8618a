"""/models: what is served, and what is to be."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path

from app.auth import WriteKey
from app.context import Context, ContextDep
from app.openapi.models import LOAD, UNLOAD
from app.payload import read_load, read_unload
from app.schemas.models import ModelResponse, ModelsResponse

Name = Annotated[str, Path(description="A model's name.")]

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def list_models(context: ContextDep) -> ModelsResponse:
    """List every version that is loaded: the default model first, and of each model its current version first."""
    return await _described(context)


@router.get("/{name}")
async def get_model(name: Name, context: ContextDep) -> ModelResponse:
    """Describe one model: its versions, modalities, heads and labels, engine and gallery."""
    service = context.service
    available = await asyncio.to_thread(service.source.versions)
    return ModelResponse.of(service.model(name), service.registry, available)


@router.post("/{name}/load", dependencies=[WriteKey], openapi_extra=LOAD)
async def load(name: Name, context: ContextDep) -> ModelResponse:
    """Load a version, try it, and swap it in with its gallery; where it is broken, what was served still is."""
    service = context.service
    order = await context.optional_payload(read_load)
    model = await service.lifecycle.load(name, order.version, current=order.current, keep=order.keep)
    available = await asyncio.to_thread(service.source.versions)
    return ModelResponse.of(model, service.registry, available)


@router.post("/{name}/unload", dependencies=[WriteKey], openapi_extra=UNLOAD)
async def unload(name: Name, context: ContextDep) -> ModelsResponse:
    """Unload a version, or all of a model, and list what is left; memory goes back after the last answer."""
    context.service.lifecycle.unload(name, await context.optional_payload(read_unload))
    return await _described(context)


async def _described(context: Context) -> ModelsResponse:
    service = context.service
    available = await asyncio.to_thread(service.source.versions)
    return ModelsResponse(
        models=[ModelResponse.of(model, service.registry, available) for model in service.models]
    )
