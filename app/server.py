"""One process that serves until it is told to stop, and says on its last line how to be used."""

import asyncio
import json
import logging
import shlex
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

from app.auth import is_loopback
from app.listening import begin_no_more
from app.main import create_app
from app.memory import settle
from app.service import Service
from app.settings import Settings

_LOG = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 1_000_000
"""Of a live stream: a second of the fastest samples in floating point."""
_ACCEPT_SECONDS = 0.1  # in which who has begun to connect is let in
_LINGER_SECONDS = 1.0  # in which an open connection may bring a request that was under way at the signal

_REFUSALS = ("ASGI callable returned without completing handshake", "Invalid UTF-8 sequence received from client")

_SAMPLES = Path(__file__).parent.parent / "samples"
SAMPLE = _SAMPLES / "images" / "running-shoe.png"
SPOKEN_SAMPLE = _SAMPLES / "audio" / "four-zero-seven-nine-two.wav"


class _Server(uvicorn.Server):
    """Is not ready from the moment that it is told to stop, though what it has accepted is still answered."""

    def __init__(self, config: uvicorn.Config, service: Service, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._when_ready()

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """Stop; at a second Ctrl-C, at once. In place of uvicorn's, which ends with the signal and not with 0."""
        if self.should_exit:
            self.force_exit = self.force_exit or sig == signal.SIGINT
            return
        self._service.draining = True
        for headers in (self.config.encoded_headers, self.server_state.default_headers):
            headers.append((b"connection", b"close"))  # so that a client's next request goes elsewhere
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who stands at the port and close it; linger for what connections still bring; uvicorn's shutdown.

        Without lingering, a request that is sent just as its idle connection is closed would be lost.
        """
        start = perf_counter()
        if begin_no_more(sockets or []):
            await asyncio.sleep(_ACCEPT_SECONDS)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        limit_seconds = self.config.timeout_graceful_shutdown or 0
        end = start + min(_LINGER_SECONDS, limit_seconds)
        # Polled, as uvicorn does: connections announce nothing.
        while self.server_state.connections and not self.force_exit and perf_counter() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self.config.timeout_graceful_shutdown = max(0, round(limit_seconds - (perf_counter() - start)))
        await super().shutdown(sockets)


def serve(service: Service, listener: socket.socket, progress: Callable[[str], None]) -> None:
    """Serve until a signal. `progress` takes a line for the warm-up, and last the one that invites."""
    settings = service.settings
    # Its own lines would follow ours; errors still show.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
    config = configure(create_app(settings, load=lambda _: service), settings)
    warn_if_open(settings)
    port = listener.getsockname()[1]
    progress("Warming up")

    def when_ready() -> None:
        progress(_invitation(service, port))
        settle()

    _Server(config, service, when_ready).run(sockets=[listener])


def configure(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to serve the application."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
        ws=_websockets(settings),  # type: ignore[arg-type]
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # sound does not shrink, and a bomb would grow
        http=_protocol(settings),
        h11_max_incomplete_event_size=settings.max_head_bytes,
    )


def _websockets(settings: Settings) -> Callable[..., asyncio.Protocol]:
    """Makes connections of messages. Most processes never see one, and they take long to import."""

    def make(**options: Any) -> asyncio.Protocol:
        from app.websocket import bounded

        return bounded(settings)(**options)

    return make


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn's counts: what is refused with a problem, or is no text, is no fault of ours."""
    return not record.getMessage().startswith(_REFUSALS)


def warn_if_open(settings: Settings) -> None:
    """Log a warning where other machines may ask without a key."""
    if not (is_loopback(settings.host) or settings.keys):
        _LOG.warning(
            "Other machines reach %s, and no API key is set: whoever reaches it may ask, and %s. "
            "Set INTERMODAL_API_KEYS and INTERMODAL_REQUIRE_KEY, or listen on 127.0.0.1.",
            settings.host,
            "write" if settings.require_key == "none" else "only this machine may write",
        )


def _protocol(settings: Settings) -> type[asyncio.Protocol] | Literal["h11"]:
    try:
        from app.protocol import bounded
    except ImportError:  # no httptools for this platform; h11 bounds the length of heads itself
        return "h11"
    return bounded(settings)


def _invitation(service: Service, port: int) -> str:
    """The URL, and a command that works: with a sample where there is one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(service.settings.host, service.settings.host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}"
    model = service.models[0]
    modalities, sensors = model.modalities, model.predictor.config.preprocessing.sensors
    readings = {} if sensors is None else {name: channel.mean for name, channel in sensors.channels.items()}
    parts = {
        "image": f" -F image=@{_short(SAMPLE)}" if SAMPLE.exists() else "",
        "text": ' -F text="running shoe"',
        "audio": f" -F audio=@{_short(SPOKEN_SAMPLE)}" if SPOKEN_SAMPLE.exists() else "",
        "sensors": f" -F {shlex.quote(f'sensors={json.dumps(readings)}')}",
    }
    # An image and its name belong together; a recording stands for itself.
    shown = [name for name in ("image", "text") if name in modalities] or modalities
    return f"Ready at {url} - try: curl{''.join(parts[name] for name in shown)} {url}/predict"


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
