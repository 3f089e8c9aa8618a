"""One process that serves until it is told to stop, and says on its last line how to be used."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from app.main import create_app
from app.service import Service
from app.settings import Settings
from models.errors import ConfigError

SAMPLE = Path(__file__).parent.parent / "samples" / "images" / "running-shoe.png"


def bind(settings: Settings) -> socket.socket:
    """Take the port, before anything slow begins.

    Raises:
        ConfigError: the port or the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"INTERMODAL_HOST (--host) {settings.host} with INTERMODAL_PORT (--port) {settings.port} cannot "
            f"be had: {error.strerror}. Choose another, or stop what uses it."
        ) from None
    return listener


class _Server(uvicorn.Server):
    """Is not ready from the moment that it is told to stop, though open requests are still answered."""

    def __init__(self, config: uvicorn.Config, service: Service, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.draining = True
        super().handle_exit(sig, frame)
        # uvicorn would raise the signal again once drained, and a clean stop would end as a failure.
        self._captured_signals.clear()


def serve(service: Service, listener: socket.socket, progress: Callable[[str], None]) -> None:
    """Serve until a signal. `progress` takes a line for the warm-up, and last the one that invites."""
    settings = service.settings
    # Its own lines would follow ours; errors still show.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(settings, load=lambda _: service),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
        ws="none",
    )
    port = listener.getsockname()[1]
    progress("Warming up")
    _Server(config, service, lambda: progress(_invitation(service, port))).run(sockets=[listener])


def _invitation(service: Service, port: int) -> str:
    """The URL, and a command that works: with a sample where there is one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(service.settings.host, service.settings.host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}"
    modalities = service.models[0].modalities
    image = f" -F image=@{_short(SAMPLE)}" if "image" in modalities and SAMPLE.exists() else ""
    text = ' -F text="running shoe"' if "text" in modalities else ""
    return f"Ready at {url} - try: curl{image}{text} {url}/predict"


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
