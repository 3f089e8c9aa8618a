"""Live transcripts by both clients: results while samples come, and why there are none."""

from collections.abc import Iterator
from typing import Any

import pytest
from intermodal_client import Client, NotFoundError, ProblemError, TransportError

from app.keys import hash_key
from tests.client.conftest import MakeClient
from tests.contract.test_live import RATE_HZ, SILENCE, WORD, hearing, service, sound  # noqa: F401


@pytest.fixture
def client(hearing: Any, make: MakeClient) -> Client:  # noqa: F811
    return make(base_url=str(hearing.base_url))


def pieces(*loudness: float) -> Iterator[bytes]:
    yield from (sound(level) for level in loudness)


def test_what_is_said_comes_until_it_is_done(client: Client) -> None:
    results = list(client.transcribe_live(pieces(*SILENCE, *WORD, *SILENCE), rate_hz=RATE_HZ, model="speech"))
    assert {result.type for result in results} <= {"partial", "final", "done"}
    final, done = results[-2:]
    assert (final.type, done.type) == ("final", "done")
    assert final.text == done.text != ""
    assert final.words[0].text == final.text
    assert done.duration_seconds == pytest.approx(0.1 * len((*SILENCE, *WORD, *SILENCE)))


def test_a_refusal_is_the_problem_that_the_service_tells(client: Client) -> None:
    with pytest.raises(NotFoundError, match="No model 'x'"):
        list(client.transcribe_live(pieces(), model="x"))
    with pytest.raises(ProblemError, match="422: rate_hz"):
        list(client.transcribe_live(pieces(), rate_hz=-1))


def test_a_fault_in_the_stream_is_raised(client: Client) -> None:
    with pytest.raises(ProblemError) as raised:
        list(client.transcribe_live(iter([b"odd"]), rate_hz=RATE_HZ))
    assert raised.value.status == 422


def test_what_the_callers_samples_raise_is_raised(client: Client) -> None:
    def failing() -> Iterator[bytes]:
        yield sound(*WORD)
        raise KeyError("microphone")

    with pytest.raises(KeyError, match="microphone"):
        list(client.transcribe_live(failing(), rate_hz=RATE_HZ))


def test_where_nobody_listens_there_is_no_answer(make: MakeClient) -> None:
    with pytest.raises(TransportError):
        list(make(base_url="http://127.0.0.1:9").transcribe_live(pieces()))


def test_the_key_opens_the_socket(tmp_path: Any, make: MakeClient) -> None:
    with service(tmp_path, require_key="all", api_keys=hash_key(b"a-key-of-the-shop")) as locked:
        address = str(locked.base_url)
        known = make(base_url=address, api_key="a-key-of-the-shop")
        assert list(known.transcribe_live(pieces(*WORD), rate_hz=RATE_HZ))[-1].type == "done"
        with pytest.raises(ProblemError) as raised:
            list(make(base_url=address).transcribe_live(pieces(*WORD), rate_hz=RATE_HZ))
        assert raised.value.status == 401
