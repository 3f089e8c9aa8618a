"""How a live stream is to be read: from the query of its address to a checked order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.fields import FieldReader, RawFields
from app.settings import Settings
from app.speech_payload import MAX_BEAMS
from models.errors import InputError
from models.transcript import Decoding

LIVE_FIELDS = ("rate_hz", "encoding", "interval_ms", "num_beams", "model")
Encoding = Literal["pcm16", "float32"]
_KINDS: Mapping[str, str] = {"pcm16": "<i2", "float32": "<f4"}
MAX_LEVEL = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOrder:
    """A stream's samples and what is wanted of them.

    rate_hz: of the samples, mono. interval_seconds: between partial results, at least.
    """

    rate_hz: int
    encoding: str
    interval_seconds: float
    decoding: Decoding
    model: str | None = None

    def samples(self, data: bytes) -> NDArray[np.float32]:
        """One message's samples, full scale 1.

        Raises:
            InputError: half a sample, or one that is no number.
        """
        kind = np.dtype(_KINDS[self.encoding])
        if len(data) % kind.itemsize:
            raise InputError(
                "audio",
                f"{len(data):,} bytes are no whole samples. Send {kind.itemsize} bytes for each.",
            )
        found = np.frombuffer(data, dtype=kind)
        if self.encoding == "pcm16":
            return (found / np.float32(32768)).astype(np.float32)
        if not np.isfinite(found).all():
            raise InputError("audio", "has samples that are no numbers (NaN or infinity). Send finite ones.")
        clipped: NDArray[np.float32] = np.clip(found, -MAX_LEVEL, MAX_LEVEL).astype(np.float32)
        return clipped


def read_live(values: Mapping[str, str], settings: Settings) -> LiveOrder:
    """Check the fields of a stream. Raises InputError."""
    reader = FieldReader(RawFields(dict(values), textual=True), LIVE_FIELDS, settings)
    encoding = reader.text("encoding") or "pcm16"
    if encoding not in _KINDS:
        raise InputError("encoding", f"{encoding[:60]!r} is not known. There are: {', '.join(_KINDS)}.")
    return LiveOrder(
        rate_hz=reader.integer("rate_hz", 16_000, least=4_000, most=settings.max_audio_rate_hz),
        encoding=encoding,
        interval_seconds=reader.integer("interval_ms", 100, least=20, most=10_000) / 1000,
        decoding=Decoding(num_beams=reader.integer("num_beams", 1, least=1, most=MAX_BEAMS)),
        model=reader.text("model"),
    )
