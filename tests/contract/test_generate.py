"""/generate: its answer and its stream, which model gives it, what it refuses, and who may leave."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.fake_captions import COUNT, HANG, POISON, Pen, make_writing_service
from tests.fakes import image_file, serving

PNG = {"Content-Type": "image/png"}
RED, BLUE = image_file("red"), image_file("blue")
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service whose second model writes, which no test may break."""
    folder = tmp_path_factory.mktemp("writing")
    with serving(Settings(num_workers=2), partial(make_writing_service, folder)) as client:
        yield client


@pytest.fixture
def pen() -> Iterator[Pen]:
    pen = Pen()
    yield pen
    pen.open.set()


@pytest.fixture
def start(tmp_path: Path, pen: Pen) -> Iterator[Callable[..., httpx.Client]]:
    """Start a service with the settings given, that writes with `pen`; it has one thread for it."""
    running = []

    def serve(**values: object) -> httpx.Client:
        settings = Settings(**{"num_workers": 1, **values})
        running.append(serving(settings, partial(make_writing_service, tmp_path, pen=pen)))
        return running[-1].__enter__()

    yield serve
    pen.open.set()
    for server in running:
        server.__exit__(None, None, None)


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    """Name and data of each event; comments left out."""
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def metric(client: httpx.Client, name: str) -> float:
    """The sum of a metric's series."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_a_text_is_written_about_an_image_however_it_is_sent(writing: httpx.Client) -> None:
    bare = writing.post("/generate", content=RED, headers=PNG)
    assert bare.status_code == 200
    body = bare.json()
    assert body.pop("request_id") == bare.headers["X-Request-ID"]
    assert body == {
        "text": "a red picture", "num_tokens": 3, "finish_reason": "stop", "score": -0.5,
        "model": {"name": "scribe", "version": 1},
    }  # fmt: skip
    form = writing.post("/generate", files={"image": BLUE}).json()
    assert form["text"] == "a blue picture"
    in_json = writing.post("/generate", json={"image": base64.b64encode(RED).decode()}).json()
    assert in_json["text"] == "a red picture"


def test_a_text_is_continued(writing: httpx.Client) -> None:
    assert writing.post("/generate", json={"text": "once"}).json()["text"] == " and so on"
    body = writing.post("/generate", json={"text": COUNT, "max_tokens": 4}).json()
    assert (body["text"], body["num_tokens"], body["finish_reason"]) == (" 1 2 3 4", 4, "length")


def test_stops_end_a_text_and_are_no_part_of_it(writing: httpx.Client) -> None:
    for stop in ("4", ["9", "4"]):
        body = writing.post("/generate", json={"text": COUNT, "max_tokens": 9, "stop": stop}).json()
        assert (body["text"], body["finish_reason"]) == (" 1 2 3 ", "stop")
    query = {"text": COUNT, "max_tokens": "9", "stop": '["3"]'}
    assert writing.post("/generate", content=RED, headers=PNG, params=query).json()["text"] == " 1 2 "
    assert writing.post("/generate", data={**query, "stop": "2"}, files={"image": RED}).json()["text"] == " 1 "


def test_what_is_drawn_with_a_seed_is_drawn_again(writing: httpx.Client) -> None:
    query = {"temperature": 0.7, "top_p": 0.9}
    drawn = [
        writing.post("/generate", content=RED, headers=PNG, params={**query, "seed": seed}).json()["text"]
        for seed in (1, 1, 2, 3, 4, 5)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_a_stream_tells_pieces_and_then_the_whole(writing: httpx.Client) -> None:
    asked = {"image": base64.b64encode(RED).decode(), "stream": True}
    answer = writing.post("/generate", json=asked)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in answer.headers["Cache-Control"]
    assert "Content-Encoding" not in answer.headers
    assert "decode;dur=" in answer.headers["Server-Timing"]
    *pieces, (name, whole) = events(answer)
    assert name == "done"
    assert {name for name, _ in pieces} == {"message"}
    assert "".join(data["text"] for _, data in pieces) == "a red picture"
    expected = writing.post("/generate", json={**asked, "stream": False}).json()
    assert {**whole, "request_id": ""} == {**expected, "request_id": ""}
    assert whole["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("application/json, text/event-stream;q=0.9", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q=0.00, */*", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
    ],
)
def test_the_header_accept_asks_for_a_stream_by_its_name(
    writing: httpx.Client, accept: str, streams: bool
) -> None:
    answer = writing.post("/generate", json={"text": "once"}, headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("text/event-stream") is streams


def test_the_field_has_it_over_the_header(writing: httpx.Client) -> None:
    answer = writing.post("/generate", json={"text": "once", "stream": False}, headers=EVENTS)
    assert answer.headers["Content-Type"] == "application/json"


def test_beams_are_told_of_at_once(writing: httpx.Client) -> None:
    answer = writing.post("/generate", json={"text": "once", "num_beams": 3, "stream": True})
    assert [name for name, _ in events(answer)] == ["message", "done"]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"max_tokens": 0}, "max_tokens", "at least 1 and at most 128"),
        ({"max_tokens": 129}, "max_tokens", "at least 1 and at most 128"),
        ({"max_tokens": 1.5}, "max_tokens", "whole number"),
        ({"num_beams": 9}, "num_beams", "at most 8"),
        ({"temperature": -0.1}, "temperature", "at least 0 and at most 5"),
        ({"temperature": 5.1}, "temperature", "at least 0 and at most 5"),
        ({"temperature": "hot"}, "temperature", "must be a number"),
        ({"temperature": 0.5, "num_beams": 2}, "temperature", "does not go with num_beams above 1"),
        ({"top_p": 0, "temperature": 1}, "top_p", "more than 0 and at most 1"),
        ({"top_p": 1.01, "temperature": 1}, "top_p", "at most 1"),
        ({"top_p": 0.9}, "top_p", "has no effect without a temperature"),
        ({"seed": -1}, "seed", "at least 0"),
        ({"seed": 2**53}, "seed", "at most 9,007,199,254,740,991"),
        ({"stop": 7}, "stop", "a string, or a list of strings"),
        ({"stop": ["a", None]}, "stop", "a string, or a list of strings"),
        ({"stop": ["a", ""]}, "stop", "not empty"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"audio": "AAAA"}, "audio", "unknown field"),
        ({"num_label": 3}, "num_label", "unknown field"),
        ({"text": "a b c d e f"}, "text", "Shorten it"),
        ({"text": None}, "image or text", "nothing to write about"),
        ({"model": "fashion"}, "model", "writes no texts. Ask one that does"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_faulty_field_is_named(
    writing: httpx.Client, fields: dict[str, Any], field: str, says: str, stream: bool
) -> None:
    answer = writing.post("/generate", json={"text": "once", "stream": stream, **fields})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("stop", [["a", "b", "c", "d", "e"], "x" * 101])
def test_too_much_of_stops_is_too_large(writing: httpx.Client, stop: object) -> None:
    answer = writing.post("/generate", json={"text": "once", "stop": stop})
    assert (answer.status_code, answer.json()["field"]) == (413, "stop")


@pytest.mark.parametrize("headers", [{}, EVENTS])
def test_what_is_no_image_has_its_status_though_a_stream_was_asked_for(
    writing: httpx.Client, headers: dict[str, str]
) -> None:
    answer = writing.post("/generate", content=b"text", headers={**PNG, **headers})
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/problem+json")


def test_a_model_is_found_by_its_path_or_its_field_and_not_by_both(writing: httpx.Client) -> None:
    once = {"text": "once"}
    assert writing.post("/models/scribe/generate", json=once).status_code == 200
    assert writing.post("/models/scribe/versions/1/generate", json=once).status_code == 200
    assert writing.post("/generate", json={**once, "model": "scribe"}).status_code == 200
    assert writing.post("/models/fashion/generate", json=once).status_code == 422
    assert writing.post("/models/nobody/generate", json=once).status_code == 404
    assert writing.post("/generate", json={**once, "model": "nobody"}).status_code == 404
    both = writing.post("/models/scribe/generate", json={**once, "model": "scribe"})
    assert (both.status_code, both.json()["field"]) == (422, "model")


def test_where_no_model_writes_it_is_not_found(client: httpx.Client) -> None:
    answer = client.post("/generate", json={"text": "once"})
    assert answer.status_code == 404
    assert "Serve one with a head of captions" in answer.json()["detail"]


def test_another_media_type_is_refused(writing: httpx.Client) -> None:
    answer = writing.post("/generate", content=b"", headers={"Content-Type": "audio/wav"})
    assert answer.status_code == 415
    assert "Send application/json or multipart/form-data or image/*." in answer.json()["detail"]


def test_several_at_once_share_their_steps_and_are_answered_as_alone(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start()
    asked = [{"text": "once"}, {"text": COUNT}, {"image": base64.b64encode(RED).decode()}]

    def ask(fields: dict[str, Any]) -> dict[str, Any]:
        return {**client.post("/generate", json=fields).json(), "request_id": ""}

    alone = [ask(fields) for fields in asked]
    pen.seconds = 0.05
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, asked)) == alone
    assert max(pen.steps) == 3


@pytest.mark.clock
def test_a_text_joins_while_others_are_written_and_leaves_before_them(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start()
    pen.seconds = 0.02
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(client.post, "/generate", json={"text": COUNT, "max_tokens": 100})
        eventually(lambda: len(pen.steps) > 3)
        assert client.post("/generate", json={"text": "once"}).json()["text"] == " and so on"
        assert not long.done()
        assert long.result().json()["num_tokens"] == 100
    assert set(pen.steps) == {1, 2}


@pytest.mark.clock
def test_one_that_breaks_a_step_fails_alone_and_no_stream_is_told_anything_twice(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start()
    pen.seconds = 0.03
    counting = {"text": COUNT, "max_tokens": 12}
    with ThreadPoolExecutor(3) as pool:
        stream = pool.submit(client.post, "/generate", json={**counting, "stream": True})
        whole = pool.submit(client.post, "/generate", json=counting)
        eventually(lambda: 2 in pen.steps)
        assert client.post("/generate", json={"text": POISON}).status_code == 500
        counted = " 1 2 3 4 5 6 7 8 9 10 11 12"
        assert whole.result().json()["text"] == counted
        assert "".join(data["text"] for name, data in events(stream.result()) if name == "message") == counted
    assert client.get("/health/ready").status_code == 200


@pytest.mark.clock
def test_a_text_that_hangs_is_given_up_and_its_neighbours_are_not(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start(engine_timeout_seconds=0.4)
    pen.seconds = 0.02
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(client.post, "/generate", json={"text": COUNT, "max_tokens": 60})
        eventually(lambda: 1 in pen.steps)
        hung = client.post("/generate", json={"text": HANG})
        assert hung.status_code == 504
        assert other.result().json()["num_tokens"] == 60
    eventually(lambda: metric(client, "intermodal_stuck_threads") == 0)


def test_rows_for_which_there_is_no_memory_are_written_in_smaller_steps(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start()
    pen.seconds, pen.memory_rows = 0.02, 2
    with ThreadPoolExecutor(4) as pool:
        asked = {"text": COUNT, "max_tokens": 12}
        found = list(pool.map(lambda _: client.post("/generate", json=asked), range(4)))
    assert [answer.status_code for answer in found] == [200] * 4
    answer = client.post("/generate", json={"text": COUNT, "num_beams": 3})
    assert answer.status_code == 503


def hang_up(client: httpx.Client, body: dict[str, Any], when: Callable[[], bool]) -> bytes:
    """What came until then; the socket is closed."""
    payload = json.dumps(body).encode()
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(payload), payload)
        )
        eventually(when)
        connection.setblocking(False)
        try:
            return connection.recv(65_536)
        except BlockingIOError:
            return b""


@pytest.mark.clock
@pytest.mark.parametrize("stream", [False, True])
def test_writing_stops_when_the_client_leaves(start: Callable[..., httpx.Client], pen: Pen, stream: bool) -> None:
    client = start()
    pen.seconds = 0.02
    asked = {"text": COUNT, "max_tokens": 120, "stream": stream}
    received = hang_up(client, asked, lambda: len(pen.steps) > 9)
    assert (b'data: {"text": " 1"}' in received) is stream
    eventually(lambda: pen.left == 1)
    written = len(pen.steps)
    assert written < 120
    eventually(lambda: metric(client, "intermodal_generation_rows") == 0)
    assert client.post("/generate", json={"text": "once"}).status_code == 200  # its place is free
    assert len(pen.steps) <= written + 4


@pytest.mark.clock
def test_a_stream_ends_by_its_deadline_and_says_so(start: Callable[..., httpx.Client], pen: Pen) -> None:
    client = start()
    pen.seconds = 0.05
    asked = {"text": COUNT, "max_tokens": 120, "stream": True}
    answer = client.post("/generate", json=asked, headers={"X-Request-Timeout-Ms": "500"})
    assert answer.status_code == 200
    *pieces, (name, problem) = events(answer)
    assert pieces
    assert (name, problem["status"], problem["title"]) == ("error", 504, "Gateway Timeout")
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    eventually(lambda: pen.left == 1)


@pytest.mark.clock
def test_a_silent_stream_is_kept_open_by_comments(start: Callable[..., httpx.Client], pen: Pen) -> None:
    client = start(keep_alive_seconds=0.1)
    pen.open.clear()
    with client.stream("POST", "/generate", json={"text": "once", "stream": True}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": keep-alive"
        pen.open.set()
        assert 'data: {"text": " and"}' in list(lines)


@pytest.mark.clock
def test_a_full_queue_refuses_texts_and_predictions_are_let_in(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start(max_queue_items=2, max_generation_rows=1)
    pen.open.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.post, "/generate", json={"text": "once"}) for _ in range(8)]
        eventually(lambda: any(future.done() for future in waiting))
        assert client.post("/models/scribe/predict", json={"text": "red"}).status_code == 200
        pen.open.set()
        answers = [future.result() for future in waiting]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


@pytest.mark.clock
def test_a_text_takes_a_place_for_each_beam(start: Callable[..., httpx.Client], pen: Pen) -> None:
    client = start(max_queue_items=4, max_generation_rows=1)
    pen.open.clear()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.post, "/generate", json={"text": "once"})
        eventually(lambda: metric(client, "intermodal_generation_rows") == 1)
        waiting = pool.submit(client.post, "/generate", json={"text": "once", "num_beams": 4})
        eventually(lambda: 'queue_items{queue="generate"} 1.0' in client.get("/metrics").text)
        assert client.post("/generate", json={"text": "once"}).status_code == 429
        pen.open.set()
        assert (running.result().status_code, waiting.result().status_code) == (200, 200)


@pytest.mark.clock
def test_a_model_that_writes_no_more_is_not_ready_though_it_predicts(
    start: Callable[..., httpx.Client], pen: Pen
) -> None:
    client = start()
    pen.broken = True
    assert client.post("/generate", json={"text": "once"}).status_code == 500
    assert client.get("/health/ready").status_code == 503
    assert client.post("/models/scribe/predict", json={"text": "red"}).status_code == 200
    pen.broken = False
    eventually(lambda: client.get("/health/ready").status_code == 200)


def test_the_stages_and_the_tokens_are_told(start: Callable[..., httpx.Client]) -> None:
    client = start()
    timing = client.post("/generate", json={"text": COUNT, "max_tokens": 4}).headers["Server-Timing"]
    assert [part.partition(";")[0].strip() for part in timing.split(",")] == [
        "read",
        "decode",
        "queue",
        "generate",
    ]
    text = client.get("/metrics").text
    assert 'intermodal_generated_tokens_total{model="scribe"} 5.0' in text  # one of the warm-up
    assert 'intermodal_texts_total{ended="length",model="scribe"} 2.0' in text
    assert 'intermodal_first_token_seconds_count{model="scribe"} 2.0' in text


def test_the_document_states_its_media_types(writing: httpx.Client) -> None:
    document = writing.get("/openapi.json").json()
    for path in ("/generate", "/models/{name}/generate", "/models/{name}/versions/{version}/generate"):
        operation = document["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data", "image/*"}
        content = operation["responses"]["200"]["content"]
        assert set(content) == {"application/json", "text/event-stream"}
        assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/GenerateResponse"}


def test_models_say_whether_they_write(writing: httpx.Client) -> None:
    models = {model["name"]: model["generates"] for model in writing.get("/models").json()["models"]}
    assert models == {"fashion": False, "scribe": True}


def test_a_prediction_has_a_caption_where_one_is_asked_for(writing: httpx.Client) -> None:
    path = "/models/scribe/predict"
    with_caption = writing.post(path, content=RED, headers=PNG, params={"caption": "true"}).json()
    without = writing.post(path, content=RED, headers=PNG).json()
    assert with_caption.pop("caption") == {
        "text": "a red picture", "num_tokens": 3, "finish_reason": "stop", "score": -0.5
    }  # fmt: skip
    assert {**with_caption, "request_id": ""} == {**without, "request_id": ""}


def test_a_caption_does_not_go_on_from_the_item_s_text(writing: httpx.Client) -> None:
    asked = {"image": base64.b64encode(RED).decode(), "text": COUNT, "caption": True}
    assert writing.post("/models/scribe/predict", json=asked).json()["caption"]["text"] == "a red picture"


def test_a_caption_of_a_model_that_writes_none_is_refused(writing: httpx.Client) -> None:
    answer = writing.post("/predict", json={"text": "red", "caption": True})
    assert (answer.status_code, answer.json()["field"]) == (422, "caption")


def test_items_of_a_batch_have_captions_each_for_itself(tmp_path: Path) -> None:
    with serving(Settings(), partial(make_writing_service, tmp_path, first="scribe")) as client:
        red, blue = (base64.b64encode(image).decode() for image in (RED, BLUE))
        items = [{"image": red, "caption": True}, {"image": blue}, {"image": "AAAA", "caption": True}]
        first, second, third = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert first["caption"]["text"] == "a red picture"
    assert "caption" not in second
    assert third["status"] == 415
