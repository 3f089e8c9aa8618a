"""A real process, stopped by a signal under load: what it accepted is answered, and it ends with 0."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BODY = json.dumps({"text": "red"})
HEADERS = {"Content-Type": "application/json"}
PROGRAM = """
import sys, time
from pathlib import Path
from app.logs import configure_logs
from app.listening import bind
from app.server import serve
from app.settings_reading import load_settings
from tests.fakes import FakeEngine, make_service

class SlowEngine(FakeEngine):
    def encode(self, batch):
        time.sleep(float(sys.argv[2]) * (len(self.batches) >= 3))  # after the three warm-ups
        return super().encode(batch)

settings = load_settings(["--port", "0", "--num-workers", "2", *sys.argv[3:]])
configure_logs(settings.log_level, settings.log_format)
with bind(settings) as listener:
    serve(make_service(Path(sys.argv[1]), settings, SlowEngine()), listener, lambda line: print(line, flush=True))
"""


@contextmanager
def process(folder: Path, seconds: float, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service whose every batch takes `seconds`, and its port."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder), str(seconds), *flags]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as running,
    ):
        assert running.stdout is not None
        assert running.stdout.readline() == "Warming up\n"
        try:
            yield running, int(running.stdout.readline().split()[2].rpartition(":")[2])
        finally:
            running.kill()


class Client(threading.Thread):
    """Asks again and again over one connection; notes each status, and what was lost on an open connection."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port, self.statuses, self.lost = port, [], []
        self.closed_in_order = False  # by the server, which said so
        self.sent = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.connect()
        with closing(connection):
            self.ask(connection)

    def ask(self, connection: http.client.HTTPConnection) -> None:
        while not self.closed_in_order:
            try:
                connection.request("POST", "/predict", BODY, HEADERS)
                self.sent.set()
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            self.statuses.append(answer.status)
            self.closed_in_order = answer.getheader("Connection") == "close"


@pytest.mark.clock
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_nothing_accepted_and_ends_with_0(tmp_path: Path, number: int) -> None:
    with process(tmp_path, 0.02) as (running, port):
        clients = [Client(port) for _ in range(16)]
        for client in clients:
            client.start()
        time.sleep(0.7)
        start = time.monotonic()
        running.send_signal(number)
        for client in clients:
            client.join(10)
        running.wait(10)
        seconds = time.monotonic() - start
    assert [client.lost for client in clients] == [[]] * 16
    assert all(client.closed_in_order for client in clients)
    assert {status for client in clients for status in client.statuses} == {200}
    assert running.returncode == 0
    assert seconds < 5
    answered = sum(len(client.statuses) for client in clients)
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len([entry for entry in entries if entry["message"] == "request"]) == answered


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.clock
def test_from_the_signal_on_nothing_new_is_taken_and_an_open_connection_hears_503_of_readiness(
    tmp_path: Path,
) -> None:
    with process(tmp_path, 1.5) as (running, port):
        probe = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        probe.request("GET", "/health/ready")
        assert probe.getresponse().read()
        client = Client(port)
        client.start()
        client.sent.wait(5)
        running.send_signal(signal.SIGTERM)
        probe.request("GET", "/health/ready")
        answer = probe.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (503, "close")
        end = time.monotonic() + 1
        while not refused(port) and time.monotonic() < end:
            time.sleep(0.01)
        assert refused(port)
        assert running.poll() is None
        client.join(10)
        assert (client.statuses, client.lost) == ([200], [])
        assert running.wait(10) == 0
        probe.close()


@pytest.mark.clock
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the queue of a port cannot be stopped")
def test_who_connects_at_the_very_end_is_answered_or_refused_and_never_broken_off(tmp_path: Path) -> None:
    answered, broken, told = [], [], threading.Event()

    def keep_connecting(port: int) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.connect()
            except OSError:
                return
            with closing(connection):
                try:
                    connection.request("POST", "/predict", BODY, HEADERS)
                    connection.getresponse().read()
                except (OSError, http.client.HTTPException) as error:
                    broken.append(repr(error))
                else:
                    answered.append(told.is_set())

    with process(tmp_path, 0.01) as (running, port):
        clients = [threading.Thread(target=keep_connecting, args=(port,)) for _ in range(24)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        told.set()
        running.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(10)
        assert running.wait(10) == 0
    assert broken == []
    assert True in answered


@pytest.mark.clock
def test_an_answer_that_takes_too_long_does_not_keep_the_process(tmp_path: Path) -> None:
    with process(tmp_path, 2, "--shutdown-timeout-seconds", "1") as (running, port):
        client = Client(port)
        client.start()
        client.sent.wait(5)
        time.sleep(0.3)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
        assert time.monotonic() - start < 6
        client.join(10)
        assert (client.statuses, client.lost) == ([503], [])


@pytest.mark.clock
def test_idle_connections_do_not_keep_the_process(tmp_path: Path) -> None:
    with process(tmp_path, 0) as (running, port), socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")  # half a head
        time.sleep(0.3)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
        assert time.monotonic() - start < 5


def test_a_signal_before_the_service_is_up_ends_with_0(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from app import __main__, loading
loading.load_service = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(__main__.main(["--port", "0"]))
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=30).returncode == 0
