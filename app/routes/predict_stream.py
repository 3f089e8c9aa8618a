"""WS /predict/stream: what POST /predict does, by messages, for policies that ask many times a second."""

import logging
from time import perf_counter
from typing import Any

from fastapi import APIRouter, WebSocket

from app import strict_json
from app.admission import seconds_of
from app.call import Call
from app.errors import log_failure, logged_path, problem_of, status_of
from app.frame_payload import Message, read_waiting
from app.payload import read_predict
from app.request_stream import RequestStream
from app.routes.sockets import opened, serve, single_query
from app.schemas.predict import answer_json
from app.service import Service
from app.telemetry import Timings

router = APIRouter(tags=["predict"])
ROUTE = "/predict/stream"
_LOG = logging.getLogger(__name__)


@router.websocket("/predict/stream")
@router.websocket("/models/{name}/predict/stream")
@router.websocket("/models/{name}/versions/{version}/predict/stream")
async def predict_stream(websocket: WebSocket) -> None:
    """Take requests as JSON or as frames; send an answer to each, in order."""

    def read(service: Service) -> tuple[int, float]:
        named = websocket.path_params
        service.model(named.get("name"), named.get("version"))  # or there would be nobody to ask
        waiting = read_waiting(single_query(websocket), service.settings)
        return waiting, seconds_of(websocket.headers, service.settings)

    async with opened(websocket, read) as found:
        if found is None:
            return
        service, (waiting, seconds), request_id = found
        answering = _Answering(websocket, service, seconds, request_id)

        async def send(content: dict[str, Any]) -> None:
            await websocket.send_text(strict_json.write(content).decode())

        stream = RequestStream(service.settings, waiting=waiting, answer=answering.answer, send=send)
        started = perf_counter()
        try:
            await serve(websocket, service, stream, request_id)
        finally:
            fields = {
                "request_id": request_id,
                "path": logged_path(websocket.scope),
                "duration_ms": round((perf_counter() - started) * 1000, 2),
                "messages": stream.num_messages,
                "overtaken": stream.num_overtaken,
                "failed": answering.num_failed,
            }
            _LOG.info("stream", extra={"fields": fields})


class _Answering:
    """Answers the messages of one stream, and counts each as a request."""

    def __init__(self, websocket: WebSocket, service: Service, seconds: float, request_id: str) -> None:
        self._websocket, self._service, self._seconds = websocket, service, seconds
        self._request_id = request_id
        self._number = 0
        self.num_failed = 0

    async def answer(self, message: Message | Exception, message_id: str | int | None) -> dict[str, Any]:
        """As an item of /predict/batch is answered, with the message's id; `request_id` has its number."""
        request_id = f"{self._request_id}-{self._number}"
        self._number += 1
        head = {} if message_id is None else {"id": message_id}
        started, timings = perf_counter(), Timings()
        try:
            if isinstance(message, Exception):
                raise message
            found = {**head, "status": 200, **await self._predict(message, request_id, started, timings)}
        except Exception as error:  # it is this message's answer
            if status_of(error) == 500:
                log_failure(error, self._websocket.scope, request_id)
            self.num_failed += 1
            found = {**head, "status": status_of(error), "problem": problem_of(error, request_id)}
        metrics = self._websocket.app.state.metrics
        metrics.answered("WS", ROUTE, found["status"], perf_counter() - started, timings.seconds)
        return found

    async def _predict(
        self, message: Message, request_id: str, started: float, timings: Timings
    ) -> dict[str, Any]:
        service, named = self._service, self._websocket.path_params
        request = read_predict(message.fields, service.settings)
        timings.record("read", perf_counter() - started)
        # Asked for again each time, so that a new version takes over within a stream.
        model = service.model(named.get("name"), named.get("version"))
        call = Call(record=timings.record, deadline=started + self._seconds)
        answer = await service.answering.predict(model, request, call)
        return answer_json(
            answer,
            num_labels=request.num_labels,
            coverage=request.coverage,
            request_id=request_id,
            root_path=service.settings.root_path,
        )
