"""Recordings of every format, and what is wrong with some."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decode_audio import AudioLimits, audio_type_of, decode_audio
from models.errors import InputError, TooLargeError, UnsupportedMediaError

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)).astype(np.float32)


def recording(
    samples: np.ndarray = TONE, form: str = "WAV", subtype: str | None = None, rate_hz: int = RATE
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=form, subtype=subtype)
    return buffer.getvalue()


def pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


@pytest.mark.parametrize(
    ("form", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ULAW", 0.05),
        ("WAVEX", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 1e-6),
        ("OGG", "VORBIS", 0.1),
    ],
)
def test_each_format_gives_the_samples_that_were_written(form: str, subtype: str, tolerance: float) -> None:
    found = decode_audio(recording(form=form, subtype=subtype), rate_hz=RATE)
    assert found.dtype == np.float32
    assert len(found) == len(TONE)
    assert np.abs(found - TONE).max() <= tolerance


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_codecs_that_shift_by_some_samples_keep_the_pitch(form: str, subtype: str) -> None:
    found = decode_audio(recording(form=form, subtype=subtype), rate_hz=RATE)
    assert pitch_hz(found, RATE) == pytest.approx(1000, abs=5)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_length_and_pitch(rate_hz: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate_hz // 2) / rate_hz)).astype(np.float32)
    found = decode_audio(recording(tone, subtype="FLOAT", rate_hz=rate_hz), rate_hz=RATE)
    assert abs(len(found) - RATE // 2) <= 1
    assert pitch_hz(found, RATE) == pytest.approx(1000, abs=5)


def test_channels_are_averaged() -> None:
    both = np.stack([TONE, -0.5 * TONE], axis=1)
    assert decode_audio(recording(both, subtype="FLOAT"), rate_hz=RATE) == pytest.approx(0.25 * TONE)


def test_a_recording_without_samples_is_empty() -> None:
    assert decode_audio(recording(TONE[:0]), rate_hz=8_000).shape == (0,)


def test_what_is_louder_than_18_db_above_full_scale_is_clipped() -> None:
    assert decode_audio(recording(100 * TONE, subtype="FLOAT"), rate_hz=RATE).max() == 8.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(value: float) -> None:
    broken = TONE.copy()
    broken[7] = value
    with pytest.raises(InputError, match="no numbers"):
        decode_audio(recording(broken, subtype="FLOAT"), rate_hz=RATE)


@pytest.mark.parametrize(("form", "subtype"), [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS")])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_recording_that_is_cut_short_is_refused(form: str, subtype: str | None, share: float) -> None:
    data = recording(form=form, subtype=subtype)
    with pytest.raises(InputError, match="cut short") as caught:
        decode_audio(data[: int(share * len(data))], rate_hz=RATE)
    assert caught.value.field == "audio"


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_wav_written_to_a_pipe_need_not_know_its_length(size: int) -> None:
    data = bytearray(recording())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    found = decode_audio(bytes(data), rate_hz=RATE)
    assert len(found) in (0, len(TONE))  # a length of 0 is believed


def test_a_header_that_promises_hours_is_refused_before_anything_is_decoded() -> None:
    data = recording(np.zeros(10 * 3600 * 100, dtype=np.float32), "FLAC", rate_hz=1_000)
    with pytest.raises(TooLargeError, match=r"3,600.0 seconds; the limit is 60"):
        decode_audio(data, rate_hz=RATE)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "says"),
    [
        (np.zeros((100, 32), np.float32), RATE, "32 channels; the limit is 8"),
        (TONE, 400_000, "400,000 samples a second"),
        (TONE, 500, "500 samples a second"),
        (np.zeros(61 * RATE, np.float32), RATE, "61.0 seconds; the limit is 60"),
    ],
)
def test_too_much_of_anything_is_refused_with_the_limit(samples: np.ndarray, rate_hz: int, says: str) -> None:
    with pytest.raises(TooLargeError, match=says):
        decode_audio(recording(samples, rate_hz=rate_hz), rate_hz=RATE)


def test_the_limits_may_be_others() -> None:
    limits = AudioLimits(max_bytes=100, max_seconds=0.1)
    with pytest.raises(TooLargeError, match="bytes; the limit is 100"):
        decode_audio(recording(), rate_hz=RATE, limits=limits)


def test_a_wav_of_a_million_chunks_is_refused_at_once() -> None:
    chunks = b"LIST\0\0\0\0" * 1_000_000
    with pytest.raises(TooLargeError, match="chunks"):
        decode_audio(recording()[:36] + chunks, rate_hz=RATE)


@pytest.mark.parametrize("form", ["AIFF", "AU", "CAF", "W64"])
def test_other_formats_that_libsndfile_reads_are_not_accepted(form: str) -> None:
    with pytest.raises(UnsupportedMediaError, match="Send WAV, FLAC, OGG"):
        decode_audio(recording(form=form), rate_hz=RATE)


@given(
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3\4\0\0", b"\xff\xfb"]),
    st.binary(max_size=300),
)
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_only_input_errors(magic: bytes, rest: bytes) -> None:
    try:
        found = decode_audio(magic + rest, rate_hz=RATE)
    except InputError:
        return
    assert np.isfinite(found).all()


@given(st.sampled_from(["WAV", "FLAC", "OGG", "MP3"]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_recording_with_some_bytes_changed_gives_samples_or_an_input_error(
    form: str, data: st.DataObject
) -> None:
    broken = bytearray(_SMALL[form])
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), min_size=1, max_size=8)):
        broken[place] = data.draw(st.integers(0, 255))
    try:
        found = decode_audio(bytes(broken), rate_hz=RATE)
    except InputError:
        return
    assert np.isfinite(found).all()


_SMALL = {form: recording(TONE[:2000], form) for form in ("WAV", "FLAC", "OGG", "MP3")}


@pytest.mark.parametrize(
    ("form", "media_type"),
    [("WAV", "audio/wav"), ("FLAC", "audio/flac"), ("OGG", "audio/ogg"), ("MP3", "audio/mpeg")],
)
def test_the_media_type_is_told_by_the_first_bytes(form: str, media_type: str) -> None:
    assert audio_type_of(recording(form=form)) == media_type
    assert audio_type_of(b"<html>") == "application/octet-stream"
