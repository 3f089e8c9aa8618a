"""/transcribe/stream over a real socket: what is said while it is said, and what is refused."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.keys import hash_key
from app.service import Service
from app.settings import Settings
from tests.fakes import RATE_HZ, FakeEngine, make_hearing_service, make_service, serving


def sound(*loudness: float, rate_hz: int = RATE_HZ) -> bytes:
    """Samples of a tone: 0.1 s of each loudness."""
    times_S = np.arange(rate_hz // 10) / rate_hz
    parts = [level * np.sin(2 * np.pi * 440 * times_S) for level in loudness]
    return (32_767 * np.concatenate(parts)).astype("<i2").tobytes()


SILENCE = (0.0,) * 8
WORD = (0.9, 0.9)


@contextmanager
def service(folder: Path, engine: FakeEngine | None = None, **values: object) -> Iterator[httpx.Client]:
    settings = Settings(**{"num_workers": 1, **values})
    with serving(settings, lambda settings: make_hearing_service(folder, settings, engine)) as client:
        yield client


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with service(tmp_path_factory.mktemp("hearing"), max_streams=2, max_stream_seconds=30) as client:
        yield client


def stream(client: httpx.Client, query: str = "", path: str = "", **options: Any) -> ClientConnection:
    url = f"ws://127.0.0.1:{client.base_url.port}{path}/transcribe/stream?rate_hz={RATE_HZ}{query}"
    return connect(url, **options)


def messages(socket: ClientConnection) -> list[dict[str, Any]]:
    """All that comes until the socket is closed."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=10)))
    except ConnectionClosed:
        return found


def play(socket: ClientConnection, *loudness: float) -> None:
    for level in loudness:
        socket.send(sound(level))
        time.sleep(0.02)


def streams_open(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("intermodal_streams ")).split()[1])


@pytest.mark.clock
@pytest.mark.parametrize("path", ["", "/models/speech"])
def test_words_come_while_they_are_said_and_are_final_after_a_pause(hearing: httpx.Client, path: str) -> None:
    with stream(hearing, "&interval_ms=20", path) as socket:
        play(socket, *SILENCE, *WORD, *SILENCE, *WORD, 0.0)
        socket.send('{"type": "end"}')
        found = messages(socket)
        assert socket.close_code == 1000
    kinds = [message["type"] for message in found]
    assert kinds[-2:] == ["final", "done"]
    assert "partial" in kinds
    finals = [message for message in found if message["type"] == "final"]
    assert [(message["segment"], message["text"]) for message in finals] == [(0, "a"), (1, "a")]
    first, second = finals
    assert first["words"][0]["start"] == pytest.approx(0.8, abs=0.06)
    assert second["start"] > first["end"]
    assert second["words"][0]["start"] == pytest.approx(1.8, abs=0.06)
    assert found[-1] == {"type": "done", "text": "a a", "duration_seconds": 2.1}
    assert streams_open(hearing) == 0


def test_silence_says_nothing(hearing: httpx.Client) -> None:
    with stream(hearing) as socket:
        play(socket, *SILENCE)
        socket.send('{"type": "end"}')
        assert messages(socket) == [{"type": "done", "text": "", "duration_seconds": 0.8}]


@pytest.mark.clock
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(hearing: httpx.Client) -> None:
    with stream(hearing) as socket:
        play(socket, *WORD)
        socket.socket.shutdown(SHUT_RDWR)
    end = time.monotonic() + 5
    while streams_open(hearing) and time.monotonic() < end:
        time.sleep(0.02)
    assert streams_open(hearing) == 0


@pytest.mark.parametrize(
    ("sent", "field", "says"),
    [
        ("end", "message", "binary samples"),
        ('{"type": "stop"}', "message", "binary samples"),
        (b"\0\0\0", "audio", "no whole samples"),
        (bytes(2 * RATE_HZ * 31), "audio", "more than 30 seconds"),
    ],
)
def test_a_faulty_message_is_told_and_ends_the_stream(
    hearing: httpx.Client, sent: str | bytes, field: str, says: str
) -> None:
    with stream(hearing) as socket:
        socket.send(sent)
        [told] = messages(socket)
        assert socket.close_code == 1008
    assert (told["type"], told["status"] // 100, told["field"]) == ("error", 4, field)
    assert says in told["detail"]
    assert told["request_id"]


def test_a_message_beyond_the_limit_is_not_taken(hearing: httpx.Client) -> None:
    with stream(hearing) as socket:
        socket.send(bytes(1_000_002))
        assert messages(socket) == []
        assert socket.close_code == 1009


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("&encoding=mp3", 422, "encoding"),
        ("&rate_hz=8000", 422, "query"),
        ("&speed=2", 422, "speed"),
        ("&model=fashion", 422, "model"),
        ("&model=nobody", 404, None),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused_before_the_socket_opens(
    hearing: httpx.Client, query: str, status: int, field: str | None
) -> None:
    with pytest.raises(InvalidStatus) as caught, stream(hearing, query):
        pass
    answer = caught.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body or b"")
    assert problem.get("field") == field
    assert problem["status"] == status


def test_only_so_many_streams_are_open_at_once(hearing: httpx.Client) -> None:
    with stream(hearing), stream(hearing):
        assert streams_open(hearing) == 2
        with pytest.raises(InvalidStatus) as caught, stream(hearing):
            pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["retry-after"]


def test_a_page_of_another_site_may_not_open_a_stream(hearing: httpx.Client) -> None:
    with pytest.raises(InvalidStatus) as caught, stream(hearing, origin="https://elsewhere.example"):
        pass
    assert caught.value.response.status_code == 401
    with stream(hearing, origin=f"http://127.0.0.1:{hearing.base_url.port}"):
        pass


def test_where_a_key_is_needed_a_stream_needs_one(tmp_path: Path) -> None:
    with service(tmp_path, require_key="all", api_keys=hash_key(b"secret")) as client:
        with pytest.raises(InvalidStatus) as caught, stream(client):
            pass
        assert caught.value.response.status_code == 401
        with stream(client, additional_headers={"X-API-Key": "secret"}):
            pass


@pytest.mark.clock
def test_a_stream_that_sends_nothing_is_closed(tmp_path: Path) -> None:
    with service(tmp_path, stream_idle_seconds=0.2) as client, stream(client) as socket:
        [told] = messages(socket)
        assert "nothing came for 0.2 s" in told["detail"]


def test_a_service_without_such_a_model_says_so(tmp_path: Path) -> None:
    with serving(Settings(num_workers=1), lambda settings: make_service(tmp_path, settings)) as client:
        with pytest.raises(InvalidStatus) as caught, stream(client):
            pass
        assert caught.value.response.status_code == 404


def test_an_engine_that_breaks_is_told_without_its_reasons(tmp_path: Path) -> None:
    engine = FakeEngine()
    with service(tmp_path, engine) as client:
        engine.deaf = True
        with stream(client) as socket:
            socket.send(sound(*WORD, *SILENCE))
            told = messages(socket)[-1]
            assert socket.close_code == 1011
    assert told["status"] == 500
    assert told["detail"] == "The service failed. The log has more under this request_id."


def test_when_the_service_stops_what_was_said_is_told_first(tmp_path: Path) -> None:
    held: list[Service] = []

    def load(settings: Settings) -> Service:
        held.append(make_hearing_service(tmp_path, settings))
        return held[0]

    with serving(Settings(num_workers=1), load) as client, stream(client) as socket:
        play(socket, *SILENCE, *WORD)
        held[0].draining = True
        found = messages(socket)
        assert socket.close_code == 1012
    assert [message["type"] for message in found][-2:] == ["final", "done"]
    assert found[-1]["text"] == "a"
