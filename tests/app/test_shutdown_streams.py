"""A real process, told to stop while it writes: streams end, or are told why not, and it ends with 0."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.fake_captions import COUNT

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from app.listening import bind
from app.server import serve
from app.settings_reading import load_settings
from tests.fake_captions import Pen, make_writing_service

settings = load_settings(["--port", "0", "--num-workers", "1", *sys.argv[3:]])
with bind(settings) as listener:
    service = make_writing_service(Path(sys.argv[1]), settings, Pen(seconds=float(sys.argv[2])))
    serve(service, listener, lambda line: print(line, flush=True))
"""


@contextmanager
def process(folder: Path, seconds: float, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service whose every token takes `seconds`, and its port."""
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


def open_stream(running: ExitStack, port: int, max_tokens: int) -> http.client.HTTPResponse:
    """A stream whose first event is there."""
    connection = running.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)))
    body = json.dumps({"text": COUNT, "max_tokens": max_tokens, "stream": True})
    connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.readline() == b'data: {"text": " 1"}\n'
    return answer


def test_a_stream_that_was_begun_is_written_to_its_end_after_the_signal(tmp_path: Path) -> None:
    with process(tmp_path, 0.05) as (running, port), ExitStack() as opened:
        streams = [open_stream(opened, port, 20) for _ in range(3)]
        running.send_signal(signal.SIGTERM)
        texts = [stream.read().decode() for stream in streams]
        assert running.wait(10) == 0
    assert all("event: done" in text and '"num_tokens": 20' in text for text in texts)


@pytest.mark.clock
def test_a_stream_for_which_there_is_no_time_is_told_so(tmp_path: Path) -> None:
    with process(tmp_path, 0.1, "--shutdown-timeout-seconds", "3") as (running, port), ExitStack() as opened:
        stream = open_stream(opened, port, 100)
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        text = stream.read().decode()
        assert running.wait(10) == 0
        assert time.monotonic() - began < 6
    *_, last = text.strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: error"
    problem = json.loads(data.removeprefix("data: "))
    assert (problem["status"], problem["title"]) == (503, "Service Unavailable")
