"""GET /metrics: for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response

from app.context import ContextDep
from app.metrics import MEDIA_TYPE

router = APIRouter(tags=["metrics"])
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
}


@router.get("/metrics", response_model=None, response_class=Response, responses=_RESPONSES)
async def metrics(context: ContextDep) -> Response:
    """Count requests, latency by stage, queues and batches, in Prometheus' text format."""
    return Response(context.metrics.exposition(), media_type=MEDIA_TYPE)
