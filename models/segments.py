"""A recording cut at its pauses, whole or while it grows: what was said between two of them is one segment.

Tells voice from silence by level alone, against the noise of the last seconds. Knows no words.

# S samples"""

from collections import deque
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FRAME_SECONDS = 0.01
_MEMORY_SECONDS = 10.0  # over which noise and voice are measured
_ABOVE_NOISE_DB = 9.0
_BELOW_VOICE_DB = 35.0
_SURELY_VOICE_DB = 20.0  # below the loudest: nobody's pauses are louder
_NOTHING = 1e-5  # 100 dB below full scale: not even noise
_LEAST_DB = -50.0  # of full scale: quieter is silence, whatever else is heard


class Segment(NamedTuple):
    """What was heard from `start_seconds` of the stream on."""

    samples_S: Floats
    start_seconds: float


def cut(
    samples_S: Floats,
    rate_hz: int,
    *,
    pause_seconds: float,
    margin_seconds: float = 0.15,
    max_seconds: float = 20.0,
) -> list[Segment]:
    """A whole recording at its pauses: what is heard between them, with a little silence around.

    Unlike a stream's, its level does not matter: it is measured against its own loudest.

    Args:
        samples_S: any number of them.
        rate_hz: of them.
        pause_seconds: silence of this length parts two segments.
        margin_seconds: silence that is kept around one, up to the middle of a pause.
        max_seconds: a longer segment is parted where it is quietest in its second half.
    """
    frame = max(1, round(rate_hz * _FRAME_SECONDS))
    padded_S = np.pad(samples_S, (0, -len(samples_S) % frame))
    if not len(padded_S) or not np.abs(padded_S).max() > _NOTHING:
        return []
    levels = 10 * np.log10(np.mean(np.square(padded_S.reshape(-1, frame), dtype=np.float64), axis=1) + 1e-12)
    noise, voice = np.percentile(levels, (10, 95))
    # Where there is no pause, what is softest is speech too: it is silence only well below the rest.
    silent = max(voice - _BELOW_VOICE_DB, min(noise + _ABOVE_NOISE_DB, voice - _SURELY_VOICE_DB))
    voiced = np.flatnonzero(levels > silent)
    lengths = (pause_seconds, margin_seconds, max_seconds)
    pause, margin, most = (round(seconds / _FRAME_SECONDS) for seconds in lengths)
    runs = np.split(voiced, np.flatnonzero(np.diff(voiced) > pause) + 1)
    # A soft sound at a word's edge is below the threshold: neighbours share the pause between them.
    middles = [(int(one[-1]) + int(other[0]) + 1) // 2 for one, other in pairwise(runs)]
    segments = []
    for run, least, last in zip(runs, [0, *middles], [*middles, len(levels)], strict=True):
        start, end = max(least, int(run[0]) - margin), min(last, int(run[-1]) + 1 + margin)
        while end - start > most:
            half = start + most // 2
            middle = half + int(np.argmin(levels[half : start + most]))
            segments.append((start, middle))
            start = middle
        segments.append((start, end))
    return [Segment(padded_S[start * frame : end * frame], start * frame / rate_hz) for start, end in segments]


class Segmenter:
    """Takes samples as they come; holds the segment that is not ended yet."""

    def __init__(
        self,
        rate_hz: int,
        *,
        pause_seconds: float = 0.5,
        margin_seconds: float = 0.15,
        max_seconds: float = 15.0,
    ) -> None:
        """Begin in silence.

        Args:
            rate_hz: of the samples.
            pause_seconds: silence of this length ends a segment.
            margin_seconds: silence that is kept before and after one.
            max_seconds: a longer segment is cut where it is quietest in its second half.
        """
        self._rate_hz = rate_hz
        self._frame = max(1, round(rate_hz * _FRAME_SECONDS))
        self._pause, self._margin, self._most = (
            max(1, round(seconds / _FRAME_SECONDS)) for seconds in (pause_seconds, margin_seconds, max_seconds)
        )
        self._levels: deque[float] = deque(maxlen=round(_MEMORY_SECONDS / _FRAME_SECONDS))
        self._rest = np.zeros(0, dtype=np.float32)
        self._frames: list[Floats] = []  # of the open segment, or of the silence before one
        self._frame_levels: list[float] = []
        self._start = 0  # frames of the stream before these
        self._last_voiced = -1  # within these; -1 in silence
        self._ended: list[Segment] = []

    @property
    def num_voiced(self) -> int:
        """A number that grows as long as somebody speaks."""
        return self._start + self._last_voiced + 1 if self._last_voiced >= 0 else 0

    @property
    def open(self) -> Segment | None:
        """What is being said: from a moment before its first voice to the newest sample; None in silence."""
        return self._segment(len(self._frames)) if self._last_voiced >= 0 else None

    def push(self, samples_S: Floats) -> None:
        """Take the next samples."""
        samples_S = np.concatenate([self._rest, samples_S])
        whole = len(samples_S) // self._frame * self._frame
        self._rest = samples_S[whole:]
        for frame_S in samples_S[:whole].reshape(-1, self._frame):
            self._take(frame_S)

    def end(self) -> None:
        """The stream is over: so is the open segment."""
        if self._last_voiced >= 0:
            self._close(len(self._frames))

    def take_ended(self) -> list[Segment]:
        """The segments that have ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def _take(self, frame_S: Floats) -> None:
        level = 10 * float(np.log10(np.mean(np.square(frame_S, dtype=np.float64)) + 1e-12))
        self._levels.append(level)
        self._frames.append(frame_S)
        self._frame_levels.append(level)
        if level > self._threshold():
            self._last_voiced = len(self._frames) - 1
        elif self._last_voiced < 0:
            self._forget(len(self._frames) - self._margin)
        elif len(self._frames) - 1 - self._last_voiced >= self._pause:
            self._close(self._last_voiced + 1 + self._margin)
        if len(self._frames) >= self._most and self._last_voiced >= 0:
            half = len(self._frames) // 2
            self._close(half + int(np.argmin(self._frame_levels[half:])) + 1)

    def _threshold(self) -> float:
        # Sorted copies of a thousand numbers each time would cost more than the rest.
        if len(self._levels) % 10 == 1 or not hasattr(self, "_bounds"):
            noise, voice = np.percentile(self._levels, (10, 95))
            self._bounds = (float(noise), float(voice))
        noise, voice = self._bounds
        above_noise = noise + _ABOVE_NOISE_DB if voice - noise > _ABOVE_NOISE_DB else _LEAST_DB
        return max(above_noise, voice - _BELOW_VOICE_DB, _LEAST_DB)

    def _close(self, end: int) -> None:
        end = min(end, len(self._frames))
        self._ended.append(self._segment(end))
        voiced = self._last_voiced
        self._forget(end)
        self._last_voiced = voiced - end if voiced >= end else -1

    def _segment(self, end: int) -> Segment:
        return Segment(np.concatenate(self._frames[:end]), self._start * self._frame / self._rate_hz)

    def _forget(self, count: int) -> None:
        if count > 0:
            del self._frames[:count], self._frame_levels[:count]
            self._start += count
