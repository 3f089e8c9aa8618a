"""When a client asks again, how long it waits, and what it says when it gives up; without a network or a clock."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from intermodal_client import (
    AnswerError,
    BusyError,
    DeadlineError,
    IntermodalError,
    ProblemError,
    TransportError,
    UnavailableError,
)
from intermodal_client.errors import problem_of
from intermodal_client.streaming import EventReader

from tests.client.conftest import MakeClient

GOOD = {"embedding": [1.0], "dimensions": 1, "model": {"name": "a", "version": 1}, "request_id": "r"}
Answers = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept, which take none."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr("time.sleep", seconds.append)
    monkeypatch.setattr(anyio, "sleep", sleep)
    return seconds


class Script:
    """Answers, or exceptions, one for each request; keeps the requests."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self.steps: Iterator[httpx.Response | Exception] = iter(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = next(self.steps)
        if isinstance(step, Exception):
            raise step
        return step


def problem(status: int, **headers: str) -> httpx.Response:
    members = {"type": "about:blank", "title": "t", "status": status, "detail": "d", "request_id": "r"}
    return httpx.Response(status, json=members, headers=headers)


def good() -> httpx.Response:
    return httpx.Response(200, json=GOOD)


def ask(make: MakeClient, script: Script, **options: Any) -> Any:
    return make(base_url="http://shop/api", transport=httpx.MockTransport(script), **options)


def test_a_refusal_is_tried_again_after_the_time_that_it_names(make: MakeClient, slept: list[float]) -> None:
    script = Script(problem(429, **{"Retry-After": "3"}), problem(503), good())
    assert ask(make, script).embed(image=b"file", text="red").embedding == [1.0]
    assert 3 <= slept[0] <= 3.3
    assert 0.25 <= slept[1] <= 0.75  # 0.25 s doubled once, half to one and a half of it
    assert len({request.content.split(b"\r\n", 1)[1] for request in script.requests}) <= 3
    assert all(b"file" in request.content for request in script.requests)


@pytest.mark.parametrize(("status", "kind"), [(429, BusyError), (503, UnavailableError)])
def test_it_gives_up_after_so_many_and_raises_what_was_said_last(
    make: MakeClient, slept: list[float], status: int, kind: type[ProblemError]
) -> None:
    script = Script(*[problem(status, **{"Retry-After": "1"}) for _ in range(3)])
    with pytest.raises(kind) as raised:
        ask(make, script, max_retries=2).embed(text="red")
    assert (raised.value.retry_after_seconds, len(script.requests), len(slept)) == (1.0, 3, 2)


def test_it_does_not_wait_longer_than_it_may(make: MakeClient, slept: list[float]) -> None:
    script = Script(problem(429, **{"Retry-After": "31"}))
    with pytest.raises(BusyError) as raised:
        ask(make, script).embed(text="red")
    assert (raised.value.retry_after_seconds, slept) == (31.0, [])


@pytest.mark.parametrize(
    ("said", "header", "seconds"),
    [(3, None, 3.0), (3, "7", 7.0), (2.5, None, 2.5), ("soon", None, None), (True, None, None), (None, "7", 7.0)],
)
def test_a_problem_says_itself_when_to_come_back_where_it_has_no_headers(
    said: object, header: str | None, seconds: float | None
) -> None:
    members = {"status": 429, "detail": "The queue is full.", "retry_after_seconds": said}
    found = problem_of(429, json.dumps(members).encode(), {} if header is None else {"Retry-After": header})
    assert found.retry_after_seconds == seconds
    if header is None:  # as the last event of a text, and as a message of a live transcript
        reader = EventReader()
        reader.read("event: error")
        with pytest.raises(BusyError) as raised:
            reader.read(f"data: {json.dumps(members)}")
        assert raised.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 422, 500, 504])
def test_what_would_be_refused_again_is_not_tried_again(make: MakeClient, slept: list[float], status: int) -> None:
    script = Script(problem(status, **{"Retry-After": "1"}))
    with pytest.raises(ProblemError) as raised:
        ask(make, script).embed(text="red")
    assert (raised.value.status, raised.value.request_id, slept) == (status, "r", [])
    assert (type(raised.value) is ProblemError) == (status == 500)


def test_a_connection_that_breaks_is_made_anew_where_a_repetition_changes_nothing(
    make: MakeClient, slept: list[float]
) -> None:
    broken = httpx.RemoteProtocolError("gone")
    assert ask(make, Script(broken, good())).embed(text="red").dimensions == 1
    with pytest.raises(TransportError, match="DELETE /items/a: gone"):
        ask(make, Script(broken)).delete_item("a")
    script = Script(httpx.ConnectError("refused"), httpx.Response(204))
    assert ask(make, script).delete_item("a") is None
    assert len(slept) == 2


def test_what_took_too_long_is_not_begun_again(make: MakeClient, slept: list[float]) -> None:
    with pytest.raises(TransportError):
        ask(make, Script(httpx.ReadTimeout("slow"))).embed(text="red")
    assert slept == []


def test_the_service_is_told_how_long_anybody_waits(make: MakeClient) -> None:
    script = Script(good(), problem(504))
    client = ask(make, script, timeout_seconds=2.5)
    client.embed(text="red")
    with pytest.raises(DeadlineError):
        client.embed(text="red")
    request = script.requests[0]
    assert request.headers["X-Request-Timeout-Ms"] == "2500"
    assert request.extensions["timeout"]["read"] == 4.5


def test_a_path_before_the_service_and_colons_stay(make: MakeClient) -> None:
    script = Script(httpx.Response(200, json={"results": []}), httpx.Response(200, content=b"i"))
    client = ask(make, script)
    client.change_items([])
    assert client.get_image("a/b:c ?", gallery="x y") == b"i"
    assert [str(request.url) for request in script.requests] == [
        "http://shop/api/items:batch",
        "http://shop/api/galleries/x%20y/items/a%2Fb%3Ac%20%3F/image",
    ]


def test_an_answer_of_somebody_else_is_an_error_that_says_so(make: MakeClient) -> None:
    page = httpx.Response(200, html="<p>Hello</p>")
    with pytest.raises(AnswerError, match="no JSON"):
        ask(make, Script(page)).embed(text="red")
    with pytest.raises(AnswerError, match="no Embedding"):
        ask(make, Script(httpx.Response(200, json={"embedding": [1]}))).embed(text="red")
    with pytest.raises(ProblemError, match="418: short") as raised:
        ask(make, Script(httpx.Response(418, text="short"))).embed(text="red")
    assert isinstance(raised.value, IntermodalError)


def test_what_a_newer_service_adds_is_left_out(make: MakeClient) -> None:
    assert ask(make, Script(httpx.Response(200, json={**GOOD, "new": 1}))).embed(text="red").request_id == "r"


def test_health_does_not_wait(make: MakeClient, slept: list[float]) -> None:
    client = ask(make, Script(problem(503, **{"Retry-After": "1"}), httpx.Response(200, json={"status": "ready"})))
    assert not client.is_ready()
    assert client.is_ready()
    assert slept == []
