"""WS /transcribe/stream: what is said in a stream of samples, while it is said."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from secrets import token_hex
from time import perf_counter
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from app.auth import check_origin
from app.call import Call
from app.capabilities import check_transcribes
from app.errors import NotReadyError, log_failure, problem_of, problem_response, status_of
from app.live import LiveStream
from app.live_payload import read_live
from app.served import Model
from app.service import Service
from models.errors import InputError
from models.sample import Sample
from models.transcript import Transcript

router = APIRouter(tags=["transcribe"])

_DRAIN_LOOK_SECONDS = 0.1
_RESTARTING, _FAULT, _FAILED = 1012, 1008, 1011  # RFC 6455, 7.4.1, and IANA's registry of close codes


@router.websocket("/transcribe/stream")
@router.websocket("/models/{name}/transcribe/stream")
async def transcribe_stream(websocket: WebSocket) -> None:
    """Take samples as binary messages and `{"type": "end"}`; send results as JSON."""
    service: Service = websocket.app.state.service
    request_id = token_hex(16)
    try:
        check_origin(websocket, service.settings)
        if service.draining or not service.started:
            raise NotReadyError("The service is stopping, or not ready. Try another, or again later.")
        order = read_live(_single(websocket), service.settings)
        model = _model(service, websocket, order.model)
        service.streams.enter()
    except Exception as error:
        if status_of(error) == 500:
            log_failure(error, {"method": "GET", **websocket.scope}, request_id)
        await websocket.send_denial_response(problem_response(error, request_id, websocket.scope))
        return
    try:
        await websocket.accept()
        transcriber = model.predictor.transcriber
        assert transcriber is not None  # noqa: S101 - `_model` has looked

        async def transcribe(sample: Sample) -> Transcript:
            deadline = perf_counter() + service.settings.request_timeout_seconds
            call = Call(record=lambda *_: None, deadline=deadline)
            return (await service.transcribe(model, sample, order.decoding, call))[0]

        stream = LiveStream(
            order,
            rate_hz=transcriber.rate_hz,
            pause_seconds=transcriber.pause_seconds,
            max_seconds=service.settings.max_stream_seconds,
            transcribe=transcribe,
            send=websocket.send_json,
        )
        await _serve(websocket, service, stream, request_id)
    finally:
        service.streams.leave()


async def _serve(websocket: WebSocket, service: Service, stream: LiveStream, request_id: str) -> None:
    """Read messages and send results side by side, until one of the two ends."""
    code = 1000
    reading = asyncio.create_task(_read(websocket, service, stream))
    sending = asyncio.create_task(stream.run())
    try:
        await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            code = reading.result()  # raises what a message had wrong
        await sending
    except WebSocketDisconnect:
        return
    except Exception as error:
        if websocket.client_state is not WebSocketState.CONNECTED:
            return
        code = _FAULT if status_of(error) < 500 else _FAILED
        if status_of(error) == 500:
            log_failure(error, {"method": "GET", **websocket.scope}, request_id)
        with suppress(RuntimeError, WebSocketDisconnect):
            await websocket.send_json({**problem_of(error, request_id), "type": "error"})
    finally:
        for task in (reading, sending):
            task.cancel()
        await asyncio.gather(reading, sending, return_exceptions=True)
        with suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(code)


async def _read(websocket: WebSocket, service: Service, stream: LiveStream) -> int:
    """Push what comes until the stream is over; the code to close with."""
    last = perf_counter()
    message: asyncio.Task[Any] | None = None
    try:
        while True:
            message = message or asyncio.create_task(websocket.receive())
            done, _ = await asyncio.wait((message,), timeout=_DRAIN_LOOK_SECONDS)
            if service.draining:
                stream.end()
                return _RESTARTING
            if not done:
                if perf_counter() - last > service.settings.stream_idle_seconds:
                    raise InputError(
                        "audio",
                        f"nothing came for {service.settings.stream_idle_seconds:g} s. Send silence, or the end.",
                    )
                continue
            last, received, message = perf_counter(), message.result(), None
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            if _is_end(received):
                stream.end()
                return 1000
            stream.push(received["bytes"])
    finally:
        if message is not None:
            message.cancel()


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


def _single(websocket: WebSocket) -> dict[str, str]:
    values = dict(websocket.query_params)
    if len(values) != len(websocket.query_params.multi_items()):
        raise InputError("query", "has a field twice. Send it once.")
    return {name: value for name, value in values.items() if value}


def _model(service: Service, websocket: WebSocket, named: str | None) -> Model:
    in_path = websocket.path_params.get("name")
    if in_path is not None and named is not None:
        raise InputError("model", "given in the path already. Leave the field out.")
    model = service.transcriber(in_path or named)
    check_transcribes(model)
    return model
