"""/predict/stream over a real socket: what /predict answers, in order; who is late is told, who errs goes on."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from app.keys import hash_key
from app.served import Model
from app.service import Service
from app.settings import Settings
from models.config import MODALITIES
from models.predictor import load_predictor
from tests.contract.conftest import Start
from tests.fakes import FakeEngine, FakeSource, image_file, make_service, serving
from tests.four import four_checkpoint
from tests.frames import answer, ask, frame, stream
from tests.sounds import spoken, wav
from tests.tiny import image_file as photo_file
from tests.tiny import picture

RED = image_file("red")
WORDS = {"text": "red", "retrieve": False}


@pytest.fixture(scope="module")
def four() -> Iterator[httpx.Client]:
    def load(settings: Settings) -> Service:
        return Service([Model(load_predictor(four_checkpoint()))], settings, FakeSource({}))

    with serving(Settings(num_workers=1), load) as client:
        yield client


def without_ids(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("id", "status", "request_id")}


def closed_with(socket: Any) -> int | None:
    with pytest.raises(ConnectionClosed):
        socket.recv(timeout=10)
    code: int | None = socket.close_code
    return code


@pytest.mark.parametrize("path", ["", "/models/fashion", "/models/fashion/versions/1"])
def test_a_message_is_answered_as_a_request_is(client: httpx.Client, path: str) -> None:
    fields: dict[str, Any] = {"text": "red star", "num_labels": 2, "retrieve": False}
    expected = without_ids(client.post(f"{path}/predict", json=fields).json())
    in_json = {**fields, "image": base64.b64encode(RED).decode()}
    both = without_ids(client.post(f"{path}/predict", json=in_json).json())
    with stream(client, path) as socket:
        found = ask(socket, {"id": 7, **fields})
        assert (found["id"], found["status"]) == (7, 200)
        assert without_ids(found) == expected
        for message in (json.dumps(in_json), frame(fields, image=RED)):
            assert without_ids(ask(socket, message)) == both
        for files in ({"image": len(RED)}, None):
            assert (
                without_ids(ask(socket, frame({**fields, "files": files} if files else fields, image=RED))) == both
            )
        assert "id" not in ask(socket, fields)


def test_all_four_modalities_go_in_one_frame(four: httpx.Client) -> None:
    image, audio = image_file("red"), wav(spoken("a"))
    fields = {"text": "a red circle", "sensors": {"speed": 3, "turn": None}}
    posted = four.post(
        "/predict",
        files={"image": image, "audio": audio},
        data={"text": "a red circle", "sensors": '{"speed": 3}'},
    ).json()
    with stream(four) as socket:
        lengths = {"image": len(image), "audio": len(audio)}
        found = ask(socket, frame({**fields, "files": lengths}, image=image, audio=audio))
        assert found["modalities_used"] == list(MODALITIES)
        assert without_ids(found) == without_ids(posted)


def test_request_ids_tell_the_messages_of_a_stream_apart(client: httpx.Client) -> None:
    with stream(client) as socket:
        first, second = ask(socket, WORDS)["request_id"], ask(socket, "nonsense")["problem"]["request_id"]
    assert first.removesuffix("-0") == second.removesuffix("-1")


@pytest.mark.parametrize(
    ("message", "status", "says"),
    [
        ("nonsense", 400, "not JSON"),
        ("[1]", 422, "must be a JSON object"),
        ({"txet": "red"}, 422, "Did you mean 'text'?"),
        ({}, 422, "nothing to look at"),
        ({"id": 1.5, "text": "red"}, 422, "a string or a whole number"),
        ({"id": "x" * 129, "text": "red"}, 422, "at most 128 characters"),
        (b"", 400, "begins with the length of its JSON"),
        (b"\0\0\0\x09{}", 400, "has 6 bytes, and needs 13"),
        (frame(WORDS, image=b"GIF89a"), 422, "image"),
        (frame({**WORDS, "image": "AAAA"}, image=RED), 422, "in the JSON and behind it"),
        (frame({**WORDS, "files": {"image": 3}}, image=RED), 422, "are 3 bytes by their lengths"),
        (frame({**WORDS, "files": {"video": 3}}, image=RED), 422, "an object of lengths by modality"),
        (frame({**WORDS, "files": {"image": -1}}, image=RED), 422, "an object of lengths by modality"),
        ({"text": "red", "gallery": "nobody"}, 422, "gallery"),
    ],
)
def test_a_faulty_message_is_told_and_the_stream_goes_on(
    client: httpx.Client, message: bytes | str | dict[str, Any], status: int, says: str
) -> None:
    with stream(client) as socket:
        found = ask(socket, message)
        assert found["status"] == found["problem"]["status"]
        assert found["status"] in (status, 404, 415)
        assert says in json.dumps(found["problem"], ensure_ascii=False).replace('\\"', '"')
        assert ask(socket, {"id": "next", **WORDS})["status"] == 200


def test_a_fault_is_answered_with_the_id_of_its_message(client: httpx.Client) -> None:
    with stream(client) as socket:
        assert ask(socket, {"id": "a", "txet": "red"})["id"] == "a"


def statuses(socket: Any, count: int) -> list[tuple[int, int]]:
    return [(found["id"], found["status"]) for found in (answer(socket) for _ in range(count))]


@pytest.mark.clock
@pytest.mark.parametrize(
    ("query", "kept"), [("", [0, 4]), ("?waiting=2", [0, 3, 4]), ("?waiting=64", [0, 1, 2, 3, 4])]
)
def test_who_is_behind_gets_the_newest_and_is_told_of_the_others_in_order(
    start: Start, engine: FakeEngine, query: str, kept: list[int]
) -> None:
    client = start()
    with stream(client, query=query) as socket:
        engine.open.clear()
        for number in range(5):
            socket.send(json.dumps({"id": number, **WORDS}))
            if not number:
                time.sleep(0.2)  # it has begun
        time.sleep(0.2)  # all of them are read
        engine.open.set()
        assert statuses(socket, 5) == [(number, 200 if number in kept else 429) for number in range(5)]
        socket.send(json.dumps({"id": 5, **WORDS}))
        assert statuses(socket, 1) == [(5, 200)]
    lines = client.get("/metrics").text
    refused = 5 - len(kept)
    if refused:
        assert f'route="/predict/stream",status="429"}} {refused}.0' in lines
    assert f'method="WS",route="/predict/stream",status="200"}} {len(kept) + 1}.0' in lines


@pytest.mark.clock
def test_a_refusal_says_when_to_come_back_unless_the_message_was_overtaken(
    start: Start, engine: FakeEngine
) -> None:
    client = start(max_queue_items=1)
    message = json.dumps(WORDS)
    with stream(client) as first, stream(client) as second, stream(client) as third:
        engine.open.clear()
        first.send(message)
        time.sleep(0.2)  # it has begun
        second.send(message)
        time.sleep(0.2)  # it waits
        refused = ask(third, WORDS)["problem"]
        for _ in range(2):  # of which the second overtakes the first
            second.send(message)
        time.sleep(0.2)  # both of them are read
        engine.open.set()
        assert answer(first)["status"] == answer(second)["status"] == 200
        overtaken = answer(second)["problem"]
    assert refused["status"] == overtaken["status"] == 429
    assert refused["detail"] == f"The queue is full. Try again in {refused['retry_after_seconds']} s."
    assert "retry_after_seconds" not in overtaken


@pytest.mark.clock
def test_a_stream_holds_no_more_bytes_than_its_share(start: Start, engine: FakeEngine) -> None:
    client = start(max_pending_bytes=200_000, max_streams=2)
    large = [json.dumps({"id": number, **WORDS, "text": "a" * 9_000}) for number in range(20)]
    with stream(client, query="?waiting=64") as socket:
        engine.open.clear()
        socket.send(json.dumps({"id": "first", **WORDS}))
        time.sleep(0.2)  # it has begun
        for message in large:
            socket.send(message)
        time.sleep(0.2)  # all of them are read
        engine.open.set()
        found = statuses(socket, 21)
    assert found[0] == ("first", 200)
    # Of 9,053 bytes each, eleven fit into half of 200,000.
    assert [status for _, status in found[1:]] == [429] * 9 + [200] * 11


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_client_that_reads_nothing_is_not_read_from_for_ever(start: Start, engine: FakeEngine) -> None:
    client = start()
    with stream(client) as socket:
        engine.open.clear()
        for _ in range(600):
            socket.send(json.dumps(WORDS))
        engine.open.set()
        found = [answer(socket)["status"] for _ in range(600)]
    assert found[0] == found[-1] == 200
    assert set(found) == {200, 429}


@pytest.mark.clock
def test_time_is_that_of_each_message(start: Start, engine: FakeEngine) -> None:
    client = start()
    with stream(client, additional_headers={"X-Request-Timeout-Ms": "150"}) as socket:
        assert ask(socket, WORDS)["status"] == 200
        engine.open.clear()
        late = ask(socket, {"id": 1, **WORDS})
        assert late["status"] in (429, 504)
        engine.open.set()
        wait_for(lambda: ask(socket, WORDS)["status"] == 200)
    with pytest.raises(InvalidStatus) as caught, stream(client, additional_headers={"X-Request-Timeout-Ms": "x"}):
        pass
    assert caught.value.response.status_code == 422


def test_an_engine_that_breaks_is_told_without_its_reasons(start: Start, engine: FakeEngine) -> None:
    with stream(start()) as socket:
        engine.broken = True
        found = ask(socket, WORDS)
        assert found["status"] == 500
        assert found["problem"]["detail"].startswith("The service failed")
        engine.broken = False
        assert ask(socket, WORDS)["status"] == 200


def test_the_end_is_after_the_last_answer(client: httpx.Client) -> None:
    with stream(client) as socket:
        socket.send(json.dumps({"id": 1, **WORDS}))
        socket.send('{"type": "end"}')
        assert answer(socket)["id"] == 1
        assert closed_with(socket) == 1000


def test_what_cannot_be_asked_for_is_refused_before_the_socket_opens(client: httpx.Client) -> None:
    for path, query, status in (
        ("/models/nobody", "", 404),
        ("/models/fashion/versions/9", "", 404),
        ("", "?waiting=0", 422),
        ("", "?waiting=1&waiting=2", 422),
        ("", "?num_labels=1", 422),
    ):
        with pytest.raises(InvalidStatus) as caught, stream(client, path, query):
            pass
        assert caught.value.response.status_code == status
        assert caught.value.response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/nothing", "/predict", "/transcribe/streams"])
def test_a_path_that_nothing_streams_at_is_a_404_as_for_requests(client: httpx.Client, path: str) -> None:
    url = f"{client.base_url}".replace("http", "ws", 1).rstrip("/")
    with pytest.raises(InvalidStatus) as caught, connect(f"{url}{path}"):
        pass
    refused = caught.value.response
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    assert "/predict/stream" in json.loads(bytes(refused.body or b""))["detail"]


@pytest.mark.clock
def test_only_so_many_streams_are_open_at_once_and_idle_ones_are_closed(start: Start) -> None:
    client = start(max_streams=1, stream_idle_seconds=0.3)
    with stream(client) as socket:
        with pytest.raises(InvalidStatus) as caught, stream(client):
            pass
        assert caught.value.response.status_code == 429
        assert b"1 live streams are open" in bytes(caught.value.response.body or b"")
        told = answer(socket)
        assert (told["type"], told["field"]) == ("error", "message")
        assert closed_with(socket) == 1008


def test_where_a_key_is_needed_a_stream_needs_one_and_other_sites_may_not(start: Start) -> None:
    client = start(require_key="all", api_keys=hash_key(b"secret"))
    key = {"X-API-Key": "secret"}
    with pytest.raises(InvalidStatus) as caught, stream(client):
        pass
    assert caught.value.response.status_code == 401
    with (
        pytest.raises(InvalidStatus) as caught,
        stream(client, additional_headers=key, origin="https://else.example"),
    ):
        pass
    assert caught.value.response.status_code == 401
    with stream(client, additional_headers=key) as socket:
        assert ask(socket, WORDS)["status"] == 200


@pytest.mark.parametrize("kept", ["", "/shop"])
def test_a_proxy_may_take_its_part_of_the_path_away_or_leave_it(start: Start, kept: str) -> None:
    client = start(root_path="/shop", require_key="all", api_keys=hash_key(b"secret"))
    with stream(client, kept, additional_headers={"X-API-Key": "secret"}) as socket:
        found = ask(socket, {"text": "red"})
        assert found["matches"][0]["image_url"].startswith("/shop/galleries/")
    with pytest.raises(InvalidStatus) as caught, stream(client, kept):
        pass
    assert caught.value.response.status_code == 401


@pytest.mark.clock
def test_when_the_service_stops_what_was_taken_is_answered(tmp_path: Path) -> None:
    held: list[Service] = []
    engine = FakeEngine()

    def load(settings: Settings) -> Service:
        held.append(make_service(tmp_path, settings, engine))
        return held[0]

    with serving(Settings(num_workers=1), load) as client, stream(client) as socket:
        ask(socket, WORDS)
        engine.open.clear()
        socket.send(json.dumps({"id": 1, **WORDS}))
        time.sleep(0.2)
        held[0].draining = True
        time.sleep(0.2)
        engine.open.set()
        assert statuses(socket, 1) == [(1, 200)]
        assert closed_with(socket) == 1012
        with pytest.raises(InvalidStatus) as caught, stream(client):
            pass
        assert caught.value.response.status_code == 503


def test_a_frame_s_image_is_read_as_a_file_is(client: httpx.Client) -> None:
    photo = photo_file(picture(0), "JPEG")
    posted = client.post("/predict", content=photo, headers={"Content-Type": "image/jpeg"}).json()
    with stream(client) as socket:
        assert without_ids(ask(socket, frame({}, image=photo))) == without_ids(posted)
