"""WS /transcribe/stream: what is said in a stream of samples, while it is said."""

import json
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from fastapi import APIRouter, WebSocket

from app.call import Call
from app.capabilities import check_transcribes
from app.live import LiveStream
from app.live_payload import LiveOrder, read_live
from app.routes.sockets import opened, serve, single_query
from app.served import Model
from app.service import Service
from models.errors import InputError
from models.sample import Sample
from models.transcript import Transcript

router = APIRouter(tags=["transcribe"])


@router.websocket("/transcribe/stream")
@router.websocket("/models/{name}/transcribe/stream")
async def transcribe_stream(websocket: WebSocket) -> None:
    """Take samples as binary messages and `{"type": "end"}`; send results as JSON."""

    def read(service: Service) -> tuple[LiveOrder, Model]:
        order = read_live(single_query(websocket), service.settings)
        return order, _model(service, websocket, order.model)

    async with opened(websocket, read) as found:
        if found is None:
            return
        service, (order, model), request_id = found
        transcriber = model.predictor.transcriber
        assert transcriber is not None  # noqa: S101 - `_model` has looked

        async def transcribe(sample: Sample) -> Transcript:
            deadline = perf_counter() + service.settings.request_timeout_seconds
            call = Call(record=lambda *_: None, deadline=deadline)
            return (await service.answering.transcribe(model, sample, order.decoding, call))[0]

        stream = _Samples(
            order,
            rate_hz=transcriber.rate_hz,
            pause_seconds=transcriber.pause_seconds,
            max_seconds=service.settings.max_stream_seconds,
            transcribe=transcribe,
            send=websocket.send_json,
        )
        await serve(websocket, service, stream, request_id)


class _Samples(LiveStream):
    """A live stream whose samples come in messages."""

    async def take(self, received: Mapping[str, Any]) -> bool:
        """Push a message's samples; whether it was the end instead."""
        if _is_end(received):
            return True
        self.push(received["bytes"])
        return False


def _is_end(received: Mapping[str, Any]) -> bool:
    """Whether a message is the end; one of bytes is not.

    Raises:
        InputError: it is neither.
    """
    text = received.get("text")
    if text is None:
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if value != {"type": "end"}:
        raise InputError("message", 'must be binary samples, or the text {"type": "end"}.')
    return True


def _model(service: Service, websocket: WebSocket, named: str | None) -> Model:
    in_path = websocket.path_params.get("name")
    if in_path is not None and named is not None:
        raise InputError("model", "given in the path already. Leave the field out.")
    model = service.transcriber(in_path or named)
    check_transcribes(model)
    return model
