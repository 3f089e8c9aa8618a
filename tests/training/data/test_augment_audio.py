import numpy as np
import pytest

from tests.sounds import RATE, tone
from training.augmentation import Augmentation
from training.data.augment_audio import augment_features, augment_samples, join

STILL = Augmentation(
    audio_speed=0,
    audio_warp=0,
    audio_noise=0,
    audio_tone_db=0,
    audio_gain_db=0,
    audio_shift_ms=0,
    audio_time_mask=0,
    audio_band_mask=0,
)
FEATURES = np.tile(np.linspace(-0.9, 0.9, 16, dtype=np.float32), (50, 1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def with_(**changes: object) -> Augmentation:
    return STILL.model_copy(update=changes)


def test_without_any_change_nothing_changes() -> None:
    assert np.array_equal(augment_samples(tone(500), STILL, RATE, rng()), tone(500))
    assert np.array_equal(augment_features(FEATURES.copy(), STILL, rng()), FEATURES)


def test_speed_changes_length_and_pitch_together() -> None:
    played = augment_samples(tone(500), with_(audio_speed=0.3), RATE, rng(1))
    speed = len(tone(500)) / len(played)
    assert 0.7 <= speed <= 1.3
    assert speed != 1
    hz = np.abs(np.fft.rfft(played)).argmax() * RATE / len(played)
    assert hz == pytest.approx(500 * speed, rel=0.05)


def test_noise_is_as_much_below_the_recording_as_asked() -> None:
    noisy = augment_samples(tone(500), with_(audio_noise=1.0, audio_noise_db=(20.0, 20.0)), RATE, rng())
    power = np.mean(tone(500) ** 2) / np.mean((noisy - tone(500)) ** 2)
    assert 10 * np.log10(power) == pytest.approx(20, abs=0.1)


def test_a_gain_is_within_its_bounds_and_a_shift_is_silence() -> None:
    louder = augment_samples(tone(500), with_(audio_gain_db=6.0), RATE, rng())
    assert 0.5 < np.abs(louder).max() / np.abs(tone(500)).max() < 2
    shifted = augment_samples(tone(500), with_(audio_shift_ms=100.0), RATE, rng())
    start = int(np.flatnonzero(shifted)[0]) - 1
    assert 0 < len(shifted) - len(tone(500)) <= 0.2 * RATE
    assert np.array_equal(shifted[start : start + len(tone(500))], tone(500))


def test_recordings_are_joined_with_pauses_within_bounds() -> None:
    joined = join([tone(500), tone(900), tone(700)], with_(audio_pause_ms=(50.0, 100.0)), RATE, rng())
    silence = len(joined) - 3 * len(tone(500))
    assert 2 * 0.05 * RATE <= silence <= 2 * 0.1 * RATE


def test_masks_blank_at_most_their_share() -> None:
    for seed in range(20):
        found = augment_features(FEATURES.copy(), with_(audio_time_mask=0.2, audio_band_mask=0.25), rng(seed))
        assert (found == -1).all(axis=1).sum() <= 0.2 * 50 + 2
        assert (found == -1).all(axis=0).sum() <= 0.25 * 16 + 2


def test_a_tone_curve_keeps_features_within_their_range() -> None:
    found = augment_features(FEATURES.copy(), with_(audio_tone_db=30.0), rng())
    assert not np.array_equal(found, FEATURES)
    assert found.min() >= -1
    assert found.max() <= 1


def test_a_warp_moves_bands() -> None:
    peak = np.full((1, 32), -1, np.float32)
    peak[0, 10] = 1
    places = {
        int(augment_features(peak.copy(), with_(audio_warp=0.3), rng(seed))[0].argmax()) for seed in range(20)
    }
    assert len(places) > 3
    assert places <= set(range(7, 14))


@pytest.mark.parametrize("length", [0, 1, 2])
def test_hardly_any_samples_are_no_trouble(length: int) -> None:
    for seed in range(10):
        found = augment_samples(np.ones(length, np.float32), Augmentation(audio_noise=1.0), RATE, rng(seed))
        assert np.isfinite(found).all()
