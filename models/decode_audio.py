"""Bytes to samples: the one place where a recording is opened, for training and serving alike.

Knows libsndfile and its formats; knows nothing of a network but the rate that it wants."""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError, TooLargeError, UnsupportedMediaError

AUDIO_FORMATS = ("WAV", "FLAC", "OGG", "MP3")
"""Accepted formats. libsndfile reads some twenty more, each one more decoder to attack."""

AUDIO_REMEDY = "Send WAV, FLAC, OGG (Vorbis or Opus) or MP3."

MIN_RATE_HZ = 1_000
MAX_LEVEL = 8.0
"""Of samples in floating point, whose full scale is 1; beyond, they are clipped."""

MAX_CHUNKS = 1_000
"""Before a WAV's samples; most have two, and each costs time here and in libsndfile."""

_MAGIC = re.compile(rb"RIFF....WAVE|fLaC|OggS|ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]", re.DOTALL)
_BLOCK_FRAMES = 65_536
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""What programs write into a WAV's header that they cannot go back to, or nearly."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLimits:
    """What is refused before any sample is decoded; and after so many seconds, whatever the header says."""

    max_bytes: int = 20_000_000
    max_seconds: float = 60.0
    max_channels: int = 8
    max_rate_hz: int = 192_000


class _Memory(io.BytesIO):
    """A file in memory that can be sought beyond its ends: what raises within a callback would be printed."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = {0: 0, 1: self.tell(), 2: len(self.getbuffer())}.get(whence, 0)
        return super().seek(min(max(0, start + offset), len(self.getbuffer())))


def decode_audio(data: bytes, *, rate_hz: int, limits: AudioLimits | None = None, field: str = "audio") -> Floats:
    """Decode a recording: its channels' mean, resampled to `rate_hz`.

    Args:
        data: the file.
        rate_hz: the model's.
        limits: what is refused; AudioLimits() where none are given.
        field: named in errors.

    Returns:
        (S,) float32, finite, full scale 1. S is 0 for a recording without samples.

    Raises:
        InputError: broken, cut short, or with samples that are no numbers.
        TooLargeError: more bytes, seconds, channels or samples a second than the limits.
        UnsupportedMediaError: none of AUDIO_FORMATS.
    """
    limits = limits or AudioLimits()
    if len(data) > limits.max_bytes:
        raise TooLargeError(field, f"{len(data):,} bytes; the limit is {limits.max_bytes:,}. Send a smaller file.")
    if not _MAGIC.match(data):
        raise UnsupportedMediaError(field, f"not a recording of a known format. {AUDIO_REMEDY}")
    if data.startswith(b"RIFF"):
        _check_wav(data, field)
    elif data.startswith(b"OggS"):
        _check_ogg(data, field)
    # Here, for it takes 20 ms, and most services hear nothing.
    import soundfile

    # Of a broken MP3 libmpg123 complains on stderr. libsndfile has no setting for that (its issue 958), and the
    # file descriptor is every thread's: to redirect it here would lose what others log meanwhile.
    try:
        with soundfile.SoundFile(_Memory(data)) as file:
            if file.format not in ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "MPEG"):
                raise UnsupportedMediaError(field, f"{file.format} is not accepted. {AUDIO_REMEDY}")
            _check_header(file, limits, field)
            samples_S, own_rate_hz = _read(file, limits, field), file.samplerate
    except soundfile.LibsndfileError:  # its words are of files and pipes
        raise InputError(field, f"cannot be decoded: broken, or cut short. {AUDIO_REMEDY}") from None
    if not np.isfinite(samples_S).all():
        raise InputError(field, "has samples that are no numbers (NaN or infinity). Save the recording anew.")
    samples_S = np.clip(samples_S, -MAX_LEVEL, MAX_LEVEL)
    return samples_S if own_rate_hz == rate_hz else _resample(samples_S, own_rate_hz, rate_hz)


def audio_type_of(data: bytes) -> str:
    """The media type of a recording, by its first bytes; application/octet-stream for what is none."""
    kinds = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg"}
    if not _MAGIC.match(data):
        return "application/octet-stream"
    return kinds.get(data[:4], "audio/mpeg")


def _check_header(file: Any, limits: AudioLimits, field: str) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= limits.max_rate_hz:
        raise TooLargeError(
            field,
            f"{file.samplerate:,} samples a second; the limits are {MIN_RATE_HZ:,} and {limits.max_rate_hz:,}. "
            "Resample it.",
        )
    if file.channels > limits.max_channels:
        raise TooLargeError(
            field, f"{file.channels} channels; the limit is {limits.max_channels}. Mix them down to one."
        )
    seconds = file.frames / file.samplerate
    if seconds > limits.max_seconds and file.frames < _UNKNOWN_SIZES[1]:
        raise _too_long(seconds, limits, field)


def _too_long(seconds: float, limits: AudioLimits, field: str) -> TooLargeError:
    return TooLargeError(
        field, f"{seconds:,.1f} seconds; the limit is {limits.max_seconds:g}. Send it in shorter parts."
    )


def _read(file: Any, limits: AudioLimits, field: str) -> Floats:
    """All samples, mixed down as they come: the header's word on their number is not relied on."""
    promised, count, parts = file.frames, 0, []
    while len(block_SC := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        count += len(block_SC)
        if count > limits.max_seconds * file.samplerate:
            raise _too_long(count / file.samplerate, limits, field)
        parts.append(block_SC.mean(axis=1, dtype=np.float32))
    if count < promised < _UNKNOWN_SIZES[1]:
        raise _cut_short(promised / file.samplerate, count / file.samplerate, field)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _cut_short(promised: float, found: float, field: str) -> InputError:
    return InputError(
        field, f"the recording is cut short: {found:.2f} of {promised:.2f} seconds are there. Send it whole."
    )


def _check_wav(data: bytes, field: str) -> None:
    """Refuse a WAV whose data ends before its header says so; libsndfile takes what is there without a word."""
    place, bytes_a_second = 12, 0
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            raise InputError(field, "a WAV file without samples: it is cut short. Send it whole.")
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name == b"fmt ":
            bytes_a_second = int.from_bytes(data[place + 16 : place + 20], "little")
        if name == b"data":
            found = len(data) - place - 8
            # Those who cannot go back to the header write 0, or nearly 2 or 4 GB.
            if size > found and not any(0 <= unknown - size < 4096 for unknown in _UNKNOWN_SIZES):
                a_second = max(1, bytes_a_second)
                raise _cut_short(size / a_second, found / a_second, field)
            return
        place += 8 + size + size % 2
    raise TooLargeError(field, f"a WAV file of more than {MAX_CHUNKS:,} chunks. Save it anew, and send that.")


def _check_ogg(data: bytes, field: str) -> None:
    """Refuse an OGG whose last page is not there: without it, libsndfile finds no sound at all."""
    last = data.rfind(b"OggS")
    segments = data[last + 27 : last + 27 + data[last + 26]] if len(data) > last + 26 else b""
    whole = len(data) >= last + 27 + len(segments) + sum(segments)
    if not (whole and data[last + 5 : last + 6] and data[last + 5] & 4):  # the flag "end of stream"
        raise InputError(field, "the recording is cut short: its last page is missing. Send it whole.")


def _resample(samples_S: Floats, from_hz: int, to_hz: int) -> Floats:
    if not len(samples_S):
        return samples_S
    import soxr

    return np.asarray(soxr.resample(samples_S, from_hz, to_hz), dtype=np.float32)
