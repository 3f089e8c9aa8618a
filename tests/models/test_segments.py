"""Bursts and pauses, in pieces of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.segments import Segment, Segmenter, cut

RATE = 8_000


def noise(seconds: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


STREAM = np.concatenate(
    [noise(1, 1e-4), noise(0.4, 0.1), noise(0.2, 1e-4), noise(0.3, 0.1), noise(1, 1e-4), noise(0.5, 0.05)]
)


def run(samples: np.ndarray, piece: int, **options: float) -> list[Segment]:
    segmenter, found = Segmenter(RATE, **options), []
    for start in range(0, len(samples), piece):
        segmenter.push(samples[start : start + piece])
        found += segmenter.take_ended()
    segmenter.end()
    return found + segmenter.take_ended()


def test_a_pause_ends_a_segment_and_a_short_one_does_not() -> None:
    first, second = run(STREAM, 400)
    # From 0.15 s before the first burst, at 1.0 s, to 0.15 s after the second, at 1.9 s.
    assert first.start_seconds == pytest.approx(0.85, abs=0.02)
    assert len(first.samples_S) / RATE == pytest.approx(1.2, abs=0.03)
    assert second.start_seconds == pytest.approx(2.75, abs=0.02)
    assert len(second.samples_S) / RATE == pytest.approx(0.65, abs=0.03)


@given(st.integers(1, 5_000))
@settings(max_examples=15, deadline=None)
def test_the_size_of_the_pieces_changes_nothing(piece: int) -> None:
    whole, parts = run(STREAM, len(STREAM)), run(STREAM, piece)
    assert [segment.start_seconds for segment in parts] == [segment.start_seconds for segment in whole]
    assert all(np.array_equal(a.samples_S, b.samples_S) for a, b in zip(parts, whole, strict=True))


def test_silence_is_no_segment_and_is_not_kept() -> None:
    segmenter = Segmenter(RATE)
    for _ in range(100):
        segmenter.push(np.zeros(RATE, np.float32))
    assert segmenter.open is None
    assert sum(map(len, segmenter._frames)) <= 0.2 * RATE
    segmenter.end()
    assert segmenter.take_ended() == []


def test_the_open_segment_grows_with_what_is_said() -> None:
    segmenter = Segmenter(RATE)
    segmenter.push(noise(1, 1e-4))
    assert (segmenter.open, segmenter.num_voiced) == (None, 0)
    segmenter.push(noise(0.3, 0.1))
    first, voiced = segmenter.open, segmenter.num_voiced
    segmenter.push(noise(0.2, 1e-4))
    assert first is not None
    assert len(first.samples_S) / RATE == pytest.approx(0.45, abs=0.02)
    assert segmenter.num_voiced == voiced
    segmenter.push(noise(0.1, 0.1))
    assert segmenter.num_voiced > voiced


def test_a_long_segment_is_cut_where_it_is_quietest_and_nothing_is_lost() -> None:
    spoken = np.concatenate([noise(3, 0.1), noise(0.05, 1e-4), noise(3, 0.1)])
    found = run(spoken, 800, max_seconds=4)
    assert found[1].start_seconds == pytest.approx(3.05, abs=0.05)
    assert sum(len(segment.samples_S) for segment in found) == len(spoken) // 80 * 80


def test_constant_noise_is_not_taken_for_a_pause_within_speech() -> None:
    """A fan at -40 dB of full scale: words are 20 dB above it."""
    fan = noise(4, 0.01)
    for start in (1.0, 2.5):
        fan[round(start * RATE) : round((start + 0.4) * RATE)] += noise(0.4, 0.1)
    # The first one begins with the stream: what a fan is, only a word tells.
    first, second = run(fan, 400)
    assert (first.start_seconds + len(first.samples_S) / RATE) == pytest.approx(1.55, abs=0.03)
    assert second.start_seconds == pytest.approx(2.35, abs=0.03)


def test_a_whole_recording_is_cut_at_pauses_that_are_long_enough() -> None:
    first, second = cut(STREAM, RATE, pause_seconds=0.5)
    # From 0.15 s before the first burst, at 1.0 s, to 0.15 s after the second, at 1.9 s.
    assert first.start_seconds == pytest.approx(0.85, abs=0.02)
    assert len(first.samples_S) / RATE == pytest.approx(1.2, abs=0.03)
    assert second.start_seconds == pytest.approx(2.75, abs=0.02)
    # The short pause from 1.4 to 1.6 s is shared by its neighbours.
    starts = [segment.start_seconds for segment in cut(STREAM, RATE, pause_seconds=0.1)]
    assert starts == pytest.approx([0.85, 1.5, 2.75], abs=0.02)


def test_what_is_softest_in_speech_without_a_pause_is_not_silence() -> None:
    """A soft sound of 0.3 s before a loud one, 18 dB below it: an s before a vowel."""
    [whole] = cut(np.concatenate([noise(0.3, 0.0125), noise(0.3, 0.1)]), RATE, pause_seconds=0.2)
    assert (whole.start_seconds, len(whole.samples_S)) == (0.0, round(0.6 * RATE))


@given(st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_level_of_a_whole_recording_does_not_matter(gain: float) -> None:
    starts = [segment.start_seconds for segment in cut(STREAM, RATE, pause_seconds=0.5)]
    louder = (gain * STREAM).astype(np.float32)
    assert [segment.start_seconds for segment in cut(louder, RATE, pause_seconds=0.5)] == starts


def test_one_long_sound_is_one_segment_and_silence_is_none() -> None:
    [whole] = cut(noise(1, 0.1), RATE, pause_seconds=0.2)
    assert (whole.start_seconds, len(whole.samples_S)) == (0.0, RATE)
    assert cut(np.zeros(RATE, np.float32), RATE, pause_seconds=0.2) == []
    assert cut(np.zeros(0, np.float32), RATE, pause_seconds=0.2) == []
    assert len(cut(noise(0.001, 0.1), RATE, pause_seconds=0.2)) == 1


def test_a_whole_recording_without_a_pause_is_parted_where_it_is_quietest() -> None:
    spoken = np.concatenate([noise(3, 0.1), noise(0.05, 0.03), noise(3, 0.1)])
    found = cut(spoken, RATE, pause_seconds=0.5, max_seconds=4)
    assert [round(segment.start_seconds, 1) for segment in found] == [0.0, 3.0]
    assert sum(len(segment.samples_S) for segment in found) == len(spoken)
