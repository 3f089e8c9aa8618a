"""Texts by both clients: as a whole, a piece at a time, and cut short."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from intermodal_client import AnswerError, BusyError, Client, InvalidError, ProblemError, TransportError

from app.settings import Settings
from tests.client.conftest import MakeClient
from tests.client.test_policy import Script, ask, problem, slept  # noqa: F401 - a fixture
from tests.fake_captions import COUNT, POISON, make_writing_service
from tests.fakes import image_file, serving

DONE = (
    b'event: done\ndata: {"text": "a", "num_tokens": 1, "finish_reason": "stop", "score": 0, '
    b'"model": {"name": "s", "version": 1}, "request_id": "r"}\n\n'
)


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(Settings(num_workers=2), partial(make_writing_service, tmp_path_factory.mktemp("w"))) as client:
        yield client


@pytest.fixture
def client(writing: httpx.Client, make: MakeClient) -> Client:
    return make(base_url=str(writing.base_url))


@pytest.mark.parametrize("image", [{}, {"image": image_file("red")}])
def test_a_text_is_the_same_as_a_whole_and_in_pieces(client: Client, image: dict[str, Any]) -> None:
    asked = {**image, "text": COUNT, "max_tokens": 9, "stop": ["9", "4"]}
    whole = client.generate(**asked, model="scribe")
    assert (whole.text, whole.finish_reason, whole.model.name) == (" 1 2 3 ", "stop", "scribe")
    *pieces, last = client.generate_stream(**asked, model="scribe")
    assert "".join(piece.text for piece in pieces) == whole.text
    assert last.text == ""
    assert last.whole is not None
    assert (last.whole.text, last.whole.num_tokens) == (whole.text, whole.num_tokens)


def test_a_refusal_of_a_stream_is_raised_before_its_first_piece(client: Client) -> None:
    with pytest.raises(InvalidError, match="max_tokens"):
        list(client.generate_stream(text="once", max_tokens=0))
    with pytest.raises(ProblemError, match="500: The service failed"):
        list(client.generate_stream(text=POISON))


def test_a_stream_that_is_refused_is_asked_for_again(make: MakeClient, slept: list[float]) -> None:  # noqa: F811
    script = Script(
        problem(429, **{"Retry-After": "2"}), httpx.ConnectError("no"), httpx.Response(200, content=DONE)
    )
    [last] = ask(make, script).generate_stream(text="once")
    assert last.whole is not None
    assert last.whole.text == "a"
    assert len(slept) == 2
    with pytest.raises(BusyError):
        list(ask(make, Script(problem(429)), max_retries=0).generate_stream(text="once"))


@pytest.mark.parametrize(
    ("content", "kind", "match"),
    [
        (b'data: {"text": "a"}\n\n', TransportError, "before it was done"),
        (b": keep-alive\n\ndata: oops\n\n", AnswerError, "no JSON"),
        (b'event: error\ndata: {"status": 504, "detail": "late"}\n\n', ProblemError, "504: late"),
    ],
)
def test_a_text_that_has_begun_is_not_asked_for_again(
    make: MakeClient, content: bytes, kind: type[Exception], match: str
) -> None:
    script = Script(httpx.Response(200, content=content))
    with pytest.raises(kind, match=match):
        list(ask(make, script).generate_stream(text="once"))
    assert len(script.requests) == 1


def test_who_has_enough_may_stop(writing: httpx.Client) -> None:
    with Client(str(writing.base_url)) as client:
        pieces = client.generate_stream(text=COUNT, max_tokens=40)
        assert next(pieces).text.startswith(" 1")
        pieces.close()  # type: ignore[attr-defined]
        assert client.is_ready()
