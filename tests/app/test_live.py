"""A live stream against a transcriber that counts bursts."""

import asyncio
from typing import Any

import numpy as np
import pytest

from app.live import LiveStream, Streams
from app.live_payload import read_live
from app.refusals import QueueFullError
from app.settings import Settings
from models.errors import InputError, TooLargeError
from models.sample import Sample
from models.transcript import Transcript, Word

pytestmark = pytest.mark.anyio
RATE = 8_000
SETTINGS = Settings()


def burst(seconds: float = 0.3) -> bytes:
    noise = 6_000 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return noise.astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


class Counter:
    """Hears "burst" for each stretch of loud samples."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.refuse = 0
        self.running = self.most_running = 0

    async def __call__(self, sample: Sample) -> Transcript:
        assert sample.audio is not None
        if self.refuse:
            self.refuse -= 1
            raise QueueFullError(1.0)
        self.calls.append(len(sample.audio) / RATE)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        loud = np.abs(sample.audio).reshape(-1, 80).max(axis=1) > 0.05
        count = int((np.diff(loud.astype(int), prepend=0) == 1).sum())
        return Transcript(" ".join(["burst"] * count), 0.5, (Word("burst", 0.1, 0.2, 0.5),) * count)


class Stream:
    """A stream and what it sent."""

    def __init__(self, transcribe: Counter, *, query: dict[str, str] | None = None, rate_hz: int = RATE) -> None:
        self.sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        order = read_live({"rate_hz": str(RATE), "interval_ms": "20", **(query or {})}, SETTINGS)
        self.live = LiveStream(
            order, rate_hz=rate_hz, pause_seconds=0.5, max_seconds=20, transcribe=transcribe, send=send
        )

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == kind]


async def play(stream: Stream, *pieces: bytes) -> None:
    running = asyncio.create_task(stream.live.run())
    for piece in pieces:
        stream.live.push(piece)
        await asyncio.sleep(0.03)
    stream.live.end()
    await running


async def test_what_is_said_so_far_is_sent_while_it_grows_and_once_more_after_a_pause() -> None:
    stream = Stream(Counter())
    await play(stream, silence(1), burst(), silence(0.2), burst(), silence(0.7), burst(), silence(0.1))
    assert [message["text"] for message in stream.of_type("partial")] == ["burst", "burst burst", "burst"]
    finals = stream.of_type("final")
    assert [(message["segment"], message["text"]) for message in finals] == [(0, "burst burst"), (1, "burst")]
    assert stream.sent[-1] == {"type": "done", "text": "burst burst burst", "duration_seconds": 2.9}
    # The first burst begins after 1 s of silence, of which 0.15 s are kept.
    assert finals[0]["start"] == pytest.approx(0.85, abs=0.03)
    assert finals[0]["words"][0]["start"] == pytest.approx(finals[0]["start"] + 0.1, abs=0.002)


async def test_silence_costs_no_pass_and_says_nothing() -> None:
    counter = Counter()
    stream = Stream(counter)
    await play(stream, *[silence(0.5)] * 6)
    assert counter.calls == []
    assert stream.sent == [{"type": "done", "text": "", "duration_seconds": 3.0}]


async def test_one_segment_at_a_time_is_in_the_pipe_however_much_comes() -> None:
    counter = Counter()
    stream = Stream(counter)
    running = asyncio.create_task(stream.live.run())
    for _ in range(50):
        stream.live.push(burst(0.05))
    stream.live.end()
    await running
    assert counter.most_running == 1
    assert len(counter.calls) <= 3


async def test_a_full_queue_delays_a_final_result_and_loses_none() -> None:
    counter = Counter()
    stream = Stream(counter)
    counter.refuse = 4
    await play(stream, burst(), silence(0.7), burst())
    assert stream.sent[-1]["text"] == "burst burst"


async def test_other_rates_are_resampled() -> None:
    counter = Counter()
    stream = Stream(counter, query={"rate_hz": "16000"})
    await play(stream, burst(0.6), silence(2))
    assert counter.calls[-1] == pytest.approx(0.3 + 0.15, abs=0.03)


async def test_samples_in_floating_point_are_the_same() -> None:
    stream = Stream(Counter(), query={"encoding": "float32"})
    loud = (np.frombuffer(burst(), "<i2") / 32768).astype("<f4").tobytes()
    await play(stream, loud, bytes(4 * RATE))
    assert stream.sent[-1]["text"] == "burst"


@pytest.mark.parametrize(
    ("query", "data", "says"),
    [
        ({}, b"\0\0\0", "3 bytes are no whole samples"),
        ({"encoding": "float32"}, bytes(6), "Send 4 bytes for each"),
        ({"encoding": "float32"}, np.array([np.nan], "<f4").tobytes(), "no numbers"),
    ],
)
async def test_a_message_that_is_no_samples_is_told(query: dict[str, str], data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Stream(Counter(), query=query).live.push(data)


async def test_a_stream_that_is_too_long_is_told() -> None:
    with pytest.raises(TooLargeError, match="more than 20 seconds"):
        Stream(Counter()).live.push(silence(21))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"rate_hz": "100"}, "rate_hz"),
        ({"rate_hz": "fast"}, "rate_hz"),
        ({"encoding": "mp3"}, "encoding"),
        ({"interval_ms": "1"}, "interval_ms"),
        ({"num_beams": "65"}, "num_beams"),
        ({"rate": "8000"}, "rate"),
    ],
)
def test_a_faulty_order_names_its_field(query: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_live(query, SETTINGS)
    assert caught.value.field == field


def test_only_so_many_streams_are_open() -> None:
    streams = Streams(2)
    streams.enter()
    streams.enter()
    with pytest.raises(QueueFullError):
        streams.enter()
    streams.leave()
    streams.enter()
    assert streams.num_open == 2
