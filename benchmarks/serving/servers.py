"""A server under test: a process group of its own, from its start to the first right answer to its end."""

import asyncio
import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.serving.exchange import Connection, LostError, RefusedError, Reply
from benchmarks.serving.processes import tree
from benchmarks.serving.requests import ROOT

START_SECONDS = 120.0
POLL_SECONDS = 0.02
STOP_SECONDS = 40.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class NotReadyError(Exception):
    """The server ended, or gave no answer in time; the message has the end of its log."""


class Server:
    """A server that answers on 127.0.0.1. Its log is kept until it is stopped."""

    def __init__(
        self, command: Sequence[str], port: int, probe: bytes, *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it and wait for a 200 to `probe`, a real request: what a user would call ready.

        Raises:
            NotReadyError: there was none in time.
        """
        self.port = port
        self._members: set[int] = set()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by kill
        # Whoever runs this may have bounded its own threads; a server under test decides for itself.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in _THREADS and not name.startswith("INTERMODAL_")
        }
        began = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=inherited | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            self._wait_ready(probe, began)
        except BaseException:
            self.kill()
            raise
        self.ready_seconds = time.monotonic() - began

    @property
    def pid(self) -> int:
        """Of the process that was started; others may be below it."""
        return self.process.pid

    def ask(self, data: bytes) -> Reply:
        """One request on a connection of its own; raises as `Connection` does."""
        return asyncio.run(_ask(self.port, data))

    def stop(self) -> float:
        """SIGTERM, and SIGKILL for whoever has not ended in time. Returns the seconds that it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self._members = set(tree(self.pid)) - {self.pid}  # some rivals leave children behind
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        seconds = time.monotonic() - began
        self.kill()
        return seconds

    def kill(self) -> None:
        """SIGKILL to the process and everything below it."""
        self._members |= set(tree(self.pid)) if self.process.poll() is None else set()
        for pid in self._members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._members.clear()
        self.process.wait()
        self._log.close()

    def log(self) -> str:
        """The end of what it wrote."""
        self._log.seek(0)
        return self._log.read()[-3000:]

    def _wait_ready(self, probe: bytes, began: float) -> None:
        while time.monotonic() - began < START_SECONDS:
            if self.process.poll() is not None:
                raise NotReadyError(f"ended with {self.process.returncode}: {self.log()}")
            with suppress(RefusedError, LostError):
                if self.ask(probe).status == 200:
                    return
            time.sleep(POLL_SECONDS)
        raise NotReadyError(f"no answer in {START_SECONDS:g} s: {self.log()}")


async def _ask(port: int, data: bytes) -> Reply:
    connection = Connection(port)
    await connection.open()
    try:
        return await connection.ask(data)
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def service_command(port: int, checkpoints: Path, flags: Sequence[str] = ()) -> list[str]:
    """How this service is started. Requests are not logged: no rival logs them either."""
    # A gallery made from the seed, as at anybody's first start.
    data = tempfile.mkdtemp(prefix="intermodal-bench-")
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    flags = ["--port", str(port), "--checkpoints", str(checkpoints), "--models", "fashion", "--data", data, *flags]
    return [sys.executable, "-m", "app", "serve", "--log-level", "warning", *flags]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, stopped at the end."""
    try:
        yield server
    finally:
        server.stop()
