"""GET /health/…: for whoever starts, stops and balances replicas. Never behind a key."""

from fastapi import APIRouter

from app.context import ContextDep
from app.errors import NotReadyError
from app.schemas.common import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live(context: ContextDep) -> Health:
    """Say whether the process can do anything at all; where it cannot, only a new one helps."""
    if context.service.pipeline.beyond_repair:
        raise NotReadyError("Too many threads hang in the engine. Start this process anew.")
    return Health(status="live")


@router.get("/ready")
async def ready(context: ContextDep) -> Health:
    """Say whether requests should come here: after a real inference, not while stopping or broken."""
    if not await context.service.ready():
        raise NotReadyError("The service is stopping, or its engine failed. Ask another replica, or again later.")
    return Health(status="ready")


@router.get("/startup")
async def startup(context: ContextDep) -> Health:
    """Say whether loading and warming up are done."""
    if not context.service.started:
        raise NotReadyError("The service is starting. Ask again in a second.")
    return Health(status="started")
