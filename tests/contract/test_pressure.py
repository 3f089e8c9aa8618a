"""More work than can be done: who is refused, who is dropped, and who must not notice."""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from models.batch import Batch
from models.engine import Encoded
from retrieval.seed_gallery import SeedGallery
from tests.contract.conftest import Start
from tests.fakes import FakeEngine

pytestmark = pytest.mark.clock

HANG = "blue blue blue"
"""A text whose forward pass does not end, for whoever shares it."""


class SlowEngine(FakeEngine):
    """Takes `seconds` for each item, and hangs on HANG."""

    seconds = 0.0

    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        if "text" in batch.inputs and (batch.inputs["text"]["ids"][:, :3] == 3).all(axis=1).any():
            time.sleep(3)
        time.sleep(self.seconds * len(batch))
        return encoded


@pytest.fixture
def engine() -> SlowEngine:
    return SlowEngine()


def metric(client: httpx.Client, name: str) -> float:
    """The sum of a metric's series."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(client: httpx.Client, milliseconds: object = None, text: str = "red") -> httpx.Response:
    headers = {} if milliseconds is None else {"X-Request-Timeout-Ms": str(milliseconds)}
    return client.post("/predict", json={"text": text}, headers=headers)


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "1e3", "²", "9" * 10])
def test_a_deadline_that_is_none_is_refused(client: httpx.Client, value: str) -> None:
    answer = client.post("/predict", json={"text": "red"}, headers={"X-Request-Timeout-Ms": value.encode()})
    assert answer.status_code == 422
    assert answer.json()["field"] == "X-Request-Timeout-Ms"


def test_a_request_ends_by_its_own_deadline(start: Start, engine: SlowEngine) -> None:
    client = start()
    engine.open.clear()
    began = time.monotonic()
    answer = ask(client, 100)
    assert answer.status_code == 504
    assert "X-Request-Timeout-Ms" in answer.json()["detail"]
    assert time.monotonic() - began < 5


def test_what_expired_while_it_waited_costs_no_forward_pass(start: Start, engine: SlowEngine) -> None:
    client = start(max_batch_items=1)
    ask(client)
    engine.open.clear()
    with ThreadPoolExecutor(4) as pool:
        running = pool.submit(ask, client)
        eventually(lambda: metric(client, "intermodal_queue_items") == 0 and len(engine.batches) >= 4)
        late = [pool.submit(ask, client, 150) for _ in range(3)]
        assert {answer.result().status_code for answer in late} == {504}
        before = len(engine.batches)
        engine.open.set()
        assert running.result().status_code == 200
    assert ask(client).status_code == 200
    assert len(engine.batches) == before + 2
    assert metric(client, "intermodal_expired_total") == 3


def test_work_of_a_client_that_left_is_dropped(start: Start, engine: SlowEngine) -> None:
    client = start(max_batch_items=1)
    engine.open.clear()
    body = json.dumps({"text": "red"}).encode()
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, client)
        eventually(lambda: metric(client, "intermodal_requests_in_flight") == 2)  # it, and whoever asks
        gone = socket.create_connection((client.base_url.host, client.base_url.port or 0))
        gone.sendall(head.encode() + body)
        eventually(lambda: metric(client, "intermodal_queue_items") == 1)
        gone.close()
        eventually(lambda: metric(client, "intermodal_requests_in_flight") == 2)
        before = len(engine.batches)
        engine.open.set()
        assert running.result().status_code == 200
    assert ask(client).status_code == 200
    assert len(engine.batches) - before <= 2  # the running one may not have been noted yet
    assert metric(client, "intermodal_expired_total") == 1


def test_who_could_not_be_done_in_time_is_refused_at_once_with_when_to_return(
    start: Start, engine: SlowEngine
) -> None:
    client = start(max_batch_items=1)
    engine.seconds = 0.1
    for _ in range(10):  # the service measures
        ask(client)
    engine.seconds = 0.3
    with ThreadPoolExecutor(16) as pool:
        patient = [pool.submit(ask, client) for _ in range(12)]
        eventually(lambda: metric(client, "intermodal_queue_items") >= 8)
        refused = ask(client, 300)
        assert refused.status_code == 429  # who waits until the time is over hears 504
        assert 1 <= int(refused.headers["Retry-After"]) <= 5
        assert {answer.result().status_code for answer in patient} == {200}
    assert metric(client, "intermodal_shed_total") == 1


def test_a_refused_request_is_not_read(start: Start, engine: SlowEngine) -> None:
    """The body is no JSON, and nobody minds, for nobody looked."""
    client = start(max_queue_items=1, max_batch_items=1)
    engine.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, client)
        eventually(lambda: metric(client, "intermodal_requests_in_flight") == 2)
        eventually(lambda: metric(client, "intermodal_queue_items") == 0)
        second = pool.submit(ask, client)
        eventually(lambda: metric(client, "intermodal_queue_items") == 1)
        answer = client.post("/predict", content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 429
        engine.open.set()
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_a_thousand_items_do_not_starve_one(start: Start, engine: SlowEngine) -> None:
    client = start(max_batch_items=8)
    engine.seconds = 0.002
    with ThreadPoolExecutor(1) as pool:
        crowd = pool.submit(client.post, "/predict/batch", json={"items": [{"text": "red"}] * 1000})
        eventually(lambda: len(engine.batches) > 5)
        before = sum(engine.batches)
        assert ask(client).status_code == 200
        # It shared a batch with the crowd or came next, though some sixty of the crowd were there before it.
        assert sum(engine.batches) - before <= 4 * 8
        assert not crowd.done()
        results = crowd.result().json()["results"]
    assert [result["status"] for result in results] == [200] * 1000


def test_an_input_that_hangs_the_engine_fails_alone_and_the_service_goes_on(
    start: Start, engine: SlowEngine
) -> None:
    client = start(engine_timeout_seconds=0.5)
    items = [{"text": "red"}, {"text": HANG}, {"text": "star"}]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [200, 504, 200]
    assert "did not end" in results[1]["problem"]["detail"]
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200  # an inference on the new worker decides
    assert ask(client).status_code == 200


def test_a_process_with_too_many_hanging_threads_says_that_it_must_be_replaced(
    start: Start, engine: SlowEngine
) -> None:
    client = start(engine_timeout_seconds=0.1)
    results = client.post("/predict/batch", json={"items": [{"text": HANG}] * 9}).json()["results"]
    assert {result["status"] for result in results} == {504}
    assert client.get("/health/live").status_code == 503
    assert metric(client, "intermodal_stuck_threads") >= 8


def test_what_was_answered_is_counted_by_modalities_and_confidence(client: httpx.Client) -> None:
    before = metric(client, "intermodal_answers_total"), metric(client, "intermodal_confidence_count")
    ask(client)
    assert metric(client, "intermodal_answers_total") == before[0] + 1
    assert metric(client, "intermodal_confidence_count") == before[1] + 2  # of two heads
    assert 'intermodal_answers_total{modalities="text",model="fashion"}' in client.get("/metrics").text


def test_a_batch_does_not_close_the_door_to_who_has_little_time(start: Start, engine: SlowEngine) -> None:
    """The queue is fair, so the door reckons with turns: sixty items of one batch go before one other as one."""
    client = start(max_batch_items=32, max_batch_tokens=4)
    engine.seconds = 0.02
    for _ in range(20):  # the service measures
        ask(client)
    with ThreadPoolExecutor(1) as pool:
        crowd = pool.submit(client.post, "/predict/batch", json={"items": [{"text": "red"}] * 300})
        eventually(lambda: metric(client, "intermodal_queue_items") > 20)
        answers = [ask(client, 1000) for _ in range(3)]
        assert not crowd.done()
        assert [answer.status_code for answer in answers] == [200] * 3
        crowd.result()


def test_a_batch_that_was_let_in_is_let_in_whole(start: Start, engine: SlowEngine) -> None:
    client = start(max_batch_items=4, max_queue_items=16)
    engine.seconds = 0.01
    items = [{"text": "red"}] * 200
    with ThreadPoolExecutor(3) as pool:
        crowds = [pool.submit(client.post, "/predict/batch", json={"items": items}) for _ in range(3)]
        results = [result for crowd in crowds for result in crowd.result().json()["results"]]
    assert {result["status"] for result in results} == {200}
    late = client.post("/predict/batch", json={"items": items}, headers={"X-Request-Timeout-Ms": "700"})
    statuses = [result["status"] for result in late.json()["results"]]
    assert set(statuses) == {200, 504}  # its time was used, and what it was too short for says so
    assert statuses.count(200) > 10


def test_a_search_by_vector_has_the_same_door_and_the_same_clock(
    start: Start, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(max_queue_items=4)
    search = SeedGallery.search

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.3)
        return search(*arguments, **options)

    monkeypatch.setattr(SeedGallery, "search", slow)

    def find(_: int) -> httpx.Response:
        return client.post("/search", json={"like": "red"})

    assert client.post("/search", json={"like": "red"}, headers={"X-Request-Timeout-Ms": "50"}).status_code == 504
    with ThreadPoolExecutor(12) as pool:
        statuses = [answer.status_code for answer in pool.map(find, range(12))]
    assert set(statuses) == {200, 429}
    forwards = len(engine.batches)
    with ThreadPoolExecutor(12) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: ask(client, 900), range(12))]
    assert 429 in statuses
    assert len(engine.batches) - forwards <= 12 - statuses.count(429)  # none was computed that was refused


def test_a_page_may_say_how_long_it_waits(start: Start) -> None:
    client = start(cors_origins="https://shop.example")
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-request-timeout-ms",
    }
    assert client.options("/predict", headers=asked).status_code == 200


def test_time_that_is_over_before_the_body_is_read_is_no_full_queue(start: Start) -> None:
    client = start()
    body = json.dumps({"text": "red " * 2000}).encode()
    answer = client.post(
        "/predict", content=iter([body[:10], body[10:]]),
        headers={"X-Request-Timeout-Ms": "1", "Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code in (408, 504)
    assert metric(client, "intermodal_shed_total") == 0
