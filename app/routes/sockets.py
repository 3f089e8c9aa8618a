"""What all streams over WebSockets have in common: how one is opened, read, answered, drained and closed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, Protocol, TypeVar

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from app.auth import check_origin
from app.errors import NotReadyError, log_failure, problem_of, problem_response, status_of
from app.service import Service
from models.errors import InputError

T = TypeVar("T")

_DRAIN_LOOK_SECONDS = 0.1
_RESTARTING, _FAULT, _FAILED = 1012, 1008, 1011  # RFC 6455, 7.4.1, and IANA's registry of close codes


class Stream(Protocol):
    """What is behind a socket. All calls are of one event loop."""

    async def take(self, received: Mapping[str, Any]) -> bool:
        """Take one message; whether it was the last. What it raises ends the stream."""

    def end(self) -> None:
        """No more comes."""

    async def run(self) -> None:
        """Send results until all that was taken is answered."""


@asynccontextmanager
async def opened(
    websocket: WebSocket, read: Callable[[Service], T]
) -> AsyncIterator[tuple[Service, T, str] | None]:
    """An accepted socket, with what `read` makes of its address, and an id; None where it was refused.

    Args:
        websocket: not yet accepted.
        read: checks what is asked for; what it raises is the answer, before the socket opens.
    """
    service: Service = websocket.app.state.service
    request_id: str = websocket.state.request_id
    try:
        check_origin(websocket, service.settings)
        if service.draining or not service.started:
            raise NotReadyError("The service is stopping, or not ready. Try another, or again later.")
        order = read(service)
        service.streams.enter()
    except Exception as error:
        if status_of(error) == 500:
            log_failure(error, websocket.scope, request_id)
        await websocket.send_denial_response(problem_response(error, request_id, websocket.scope))
        yield None
        return
    try:
        await websocket.accept()
        yield service, order, request_id
    finally:
        service.streams.leave()


async def serve(websocket: WebSocket, service: Service, stream: Stream, request_id: str) -> None:
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
            log_failure(error, websocket.scope, request_id)
        with suppress(RuntimeError, WebSocketDisconnect):
            await websocket.send_json({**problem_of(error, request_id), "type": "error"})
    finally:
        for task in (reading, sending):
            task.cancel()
        await asyncio.gather(reading, sending, return_exceptions=True)
        with suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(code)


async def _read(websocket: WebSocket, service: Service, stream: Stream) -> int:
    """Hand on what comes until the stream is over; the code to close with."""
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
                    limit = f"{service.settings.stream_idle_seconds:g} s"
                    raise InputError("message", f"nothing came for {limit}. Send something, or the end.")
                continue
            last, received, message = perf_counter(), message.result(), None
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            if await stream.take(received):
                stream.end()
                return 1000
    finally:
        if message is not None:
            message.cancel()


def single_query(websocket: WebSocket) -> dict[str, str]:
    """The fields of the address's query.

    Raises:
        InputError: one is there twice.
    """
    values = dict(websocket.query_params)
    if len(values) != len(websocket.query_params.multi_items()):
        raise InputError("query", "has a field twice. Send it once.")
    return {name: value for name, value in values.items() if value}
