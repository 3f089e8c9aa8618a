"""WS to a path that nothing streams at: refused as a request for one is. It must be the last router."""

from fastapi import APIRouter, WebSocket

from app.errors import problem_response
from app.refusals import NotFoundError
from app.telemetry import NO_ROUTE

router = APIRouter()


@router.websocket("/{path:path}")
async def nothing_here(websocket: WebSocket) -> None:
    """Refuse the handshake with 404; Starlette's own refusal is an empty 403."""
    websocket.state.trace.route = NO_ROUTE
    error = NotFoundError("Nothing streams at this path. There are /predict/stream and /transcribe/stream.")
    await websocket.send_denial_response(problem_response(error, websocket.state.request_id, websocket.scope))
