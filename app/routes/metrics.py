"""GET /metrics: for Prometheus."""

from fastapi import APIRouter, Response

from app.context import ContextDep
from app.metrics import MEDIA_TYPE
from app.openapi import METRICS_RESPONSES

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_model=None, response_class=Response, responses=METRICS_RESPONSES)
async def metrics(context: ContextDep) -> Response:
    """Count requests, latency by stage, queues and batches, in Prometheus' text format."""
    return Response(context.metrics.exposition(), media_type=MEDIA_TYPE)
