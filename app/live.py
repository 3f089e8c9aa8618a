"""One live stream: samples come in small pieces, and what is said so far goes out. Knows no socket.

The encoder hears both ways, so what is being said is encoded anew for each partial result, back to the last pause:
a segment. At most one segment of a stream is in the pipe; what comes meanwhile is heard by the next one. So a slow
machine gives fewer partial results, and none that lag."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.live_payload import LiveOrder
from app.refusals import QueueFullError
from models.errors import TooLargeError
from models.sample import Sample
from models.segments import Segment, Segmenter
from models.transcript import Transcript

Floats = NDArray[np.float32]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SEGMENT_SECONDS = 15.0
_RETRIES = 20  # of a segment that has ended, where the queue is full


class Transcribe(Protocol):
    """What a stream needs of a service."""

    def __call__(self, sample: Sample) -> Awaitable[Transcript]:
        """What is said in it. Raises QueueFullError where too many wait."""


@dataclass(slots=True)
class Progress:
    """What was done so far: seconds that came in, and texts of segments that have ended."""

    seconds: float = 0.0
    texts: list[str] = field(default_factory=list)
    num_segments: int = 0


class LiveStream:
    """Reads one stream. `push` and `run` are of the same event loop."""

    def __init__(
        self,
        order: LiveOrder,
        *,
        rate_hz: int,
        pause_seconds: float,
        max_seconds: float,
        transcribe: Transcribe,
        send: Send,
    ) -> None:
        """Begin.

        Args:
            order: what comes in, and what is wanted.
            rate_hz: the model's.
            pause_seconds: silence that ends a segment.
            max_seconds: of the whole stream.
            transcribe: what is said in samples at the model's rate.
            send: takes each result.
        """
        self._order, self._rate_hz, self._max_seconds = order, rate_hz, max_seconds
        self._transcribe, self._send = transcribe, send
        self._segmenter = Segmenter(rate_hz, pause_seconds=pause_seconds, max_seconds=SEGMENT_SECONDS)
        self._resample = _resampler(order.rate_hz, rate_hz)
        self._news = asyncio.Event()
        self._over = False
        self._partial = ("", 0)
        self.progress = Progress()

    def push(self, data: bytes) -> None:
        """Take one message's samples.

        Raises:
            InputError: they are none.
            TooLargeError: the stream is too long.
        """
        samples_S = self._order.samples(data)
        self.progress.seconds += len(samples_S) / self._order.rate_hz
        if self.progress.seconds > self._max_seconds:
            raise TooLargeError(
                "audio", f"more than {self._max_seconds:,.0f} seconds, which is the limit. Open another stream."
            )
        self._segmenter.push(self._resample(samples_S, False))
        self._news.set()

    def end(self) -> None:
        """No more comes."""
        if not self._over:
            self._segmenter.push(self._resample(np.zeros(0, dtype=np.float32), True))
            self._segmenter.end()
            self._over = True
            self._news.set()

    async def run(self) -> None:
        """Send results until the stream is over: partial ones, final ones, and `done`.

        Raises:
            Exception: what `transcribe` and `send` raise.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            started = perf_counter()
            for segment in self._segmenter.take_ended():
                await self._final(segment)
            if self._over:
                break
            await self._part()
            await asyncio.sleep(max(0.0, self._order.interval_seconds - (perf_counter() - started)))
        await self._send(
            {
                "type": "done",
                "text": " ".join(self.progress.texts),
                "duration_seconds": round(self.progress.seconds, 3),
            }
        )

    async def _part(self) -> None:
        segment, voiced = self._segmenter.open, self._segmenter.num_voiced
        if segment is None or voiced == self._partial[1]:  # silence since the last one adds no word
            return
        try:
            transcript = await self._transcribe(Sample(audio=segment.samples_S))
        except QueueFullError:
            self._news.set()
            return
        if transcript.text != self._partial[0]:
            await self._send(self._result("partial", segment, transcript))
        self._partial = (transcript.text, voiced)

    async def _final(self, segment: Segment) -> None:
        for attempt in range(_RETRIES):
            try:
                transcript = await self._transcribe(Sample(audio=segment.samples_S))
                break
            except QueueFullError:
                if attempt == _RETRIES - 1:
                    raise
                await asyncio.sleep(self._order.interval_seconds)
        self._partial = ("", 0)
        if not transcript.text:
            return
        self.progress.texts.append(transcript.text)
        await self._send(self._result("final", segment, transcript))
        self.progress.num_segments += 1

    def _result(self, kind: str, segment: Segment, transcript: Transcript) -> dict[str, Any]:
        start = segment.start_seconds
        return {
            "type": kind,
            "segment": self.progress.num_segments,
            "text": transcript.text,
            "confidence": round(transcript.confidence, 6),
            "start": round(start, 3),
            "end": round(start + len(segment.samples_S) / self._rate_hz, 3),
            "words": [
                {
                    "text": word.text,
                    "start": round(start + word.start_seconds, 3),
                    "end": round(start + word.end_seconds, 3),
                    "confidence": round(word.confidence, 6),
                }
                for word in transcript.words
            ],
        }


def _resampler(from_hz: int, to_hz: int) -> Callable[[Floats, bool], Floats]:
    """Resamples pieces as they come; the second argument says that one is the last."""
    if from_hz == to_hz:
        return lambda samples_S, _: samples_S
    import soxr  # where recordings are heard at all

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def resample(samples_S: Floats, last: bool) -> Floats:
        return np.asarray(stream.resample_chunk(samples_S, last=last), dtype=np.float32)

    return resample


class Streams:
    """How many streams are open, and how many may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.num_open = 0

    def enter(self) -> None:
        """Count one more.

        Raises:
            QueueFullError: there are too many.
        """
        if self.num_open >= self._most:
            raise QueueFullError(1.0, f"{self.num_open:,} live streams are open, and no more may be")
        self.num_open += 1

    def leave(self) -> None:
        """Count one less."""
        self.num_open -= 1
