"""Live transcripts over a WebSocket: samples go in while results come out. Needs the package websockets."""

import asyncio
import json
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from intermodal_client.answers import LiveResult
from intermodal_client.errors import IntermodalError, TransportError, problem_from, problem_of
from intermodal_client.parsing import build
from intermodal_client.policy import Policy

ROUTE = "/transcribe/stream"
END = json.dumps({"type": "end"})


def transcribe_live(
    base_url: str, policy: Policy, samples: Iterable[bytes], fields: Mapping[str, Any]
) -> Iterator[LiveResult]:
    """Results, until the stream is done; a thread takes `samples` and sends them."""
    try:
        socket = connect(_address(base_url, fields), **_options(policy))
    except (OSError, InvalidHandshake) as error:
        raise _refusal(error) from error
    failed: list[BaseException] = []

    def send() -> None:
        try:
            for piece in samples:
                socket.send(piece)
            socket.send(END)
        except ConnectionClosed:
            pass  # whoever receives learns why
        except BaseException as error:  # the caller's own, told where results are awaited
            failed.append(error)
            socket.close()

    with socket:
        threading.Thread(target=send, daemon=True).start()
        try:
            for message in socket:
                result = _result(message)
                yield result
                if result.type == "done":
                    return
        except ConnectionClosed as error:
            raise TransportError(f"The stream broke: {error}") from error
    raise failed[0] if failed else TransportError("The stream ended before it was done.")


async def transcribe_live_async(
    base_url: str, policy: Policy, samples: Iterable[bytes] | AsyncIterable[bytes], fields: Mapping[str, Any]
) -> AsyncIterator[LiveResult]:
    """`transcribe_live` for asyncio."""
    try:
        socket = await connect_async(_address(base_url, fields), **_options(policy))
    except (OSError, InvalidHandshake) as error:
        raise _refusal(error) from error

    failed: list[Exception] = []
    async with socket:
        sending = asyncio.create_task(_send(socket, samples, failed))
        try:
            async for message in socket:
                result = _result(message)
                yield result
                if result.type == "done":
                    return
        except ConnectionClosed as error:
            raise TransportError(f"The stream broke: {error}") from error
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    raise failed[0] if failed else TransportError("The stream ended before it was done.")


async def _send(
    socket: ClientConnection, samples: Iterable[bytes] | AsyncIterable[bytes], failed: list[Exception]
) -> None:
    try:
        if isinstance(samples, AsyncIterable):
            async for piece in samples:
                await socket.send(piece)
        else:
            for piece in samples:
                await socket.send(piece)
        await socket.send(END)
    except ConnectionClosed:
        pass  # whoever receives learns why
    except Exception as error:  # the caller's own, told where results are awaited
        failed.append(error)
        await socket.close()


def _address(base_url: str, fields: Mapping[str, Any]) -> str:
    scheme, _, rest = base_url.partition("://")
    query = urlencode({name: value for name, value in fields.items() if value is not None})
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest.rstrip('/')}{ROUTE}" + (f"?{query}" if query else "")


def _options(policy: Policy) -> dict[str, Any]:
    return {"additional_headers": policy.headers, "open_timeout": policy.timeout_seconds}


def _refusal(error: Exception) -> IntermodalError:
    if isinstance(error, InvalidStatus):
        answer = error.response
        return problem_of(answer.status_code, bytes(answer.body or b""), answer.headers)
    return TransportError(f"{ROUTE}: {error}")


def _result(message: str | bytes) -> LiveResult:
    members = json.loads(message)
    if members.get("type") == "error":
        # The problem's own `type` gave way to the message's.
        raise problem_from(members)
    return build(LiveResult, members)
