"""Log-mel features whose numbers can be told beforehand."""

import numpy as np
import pytest

from models.config import AudioPreprocessing
from models.preprocess.audio import AudioPreprocessor, mel_bands, slaney_bands
from models.sample import Sample

CONFIG = AudioPreprocessing(rate_hz=16_000, num_mels=64)  # windows of 400 samples, every 160
RNG = np.random.default_rng(0)


def features(samples: np.ndarray, config: AudioPreprocessing = CONFIG) -> np.ndarray:
    arrays = AudioPreprocessor(config).prepare(Sample(audio=samples.astype(np.float32)))
    assert arrays is not None
    return arrays["features"]


def tone(hz: float, num_samples: int = 1600) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(num_samples) / 16_000)


@pytest.mark.parametrize(("num_samples", "num_features"), [(0, 1), (1, 1), (400, 1), (401, 2), (560, 2), (561, 3)])
def test_a_last_window_that_is_not_full_is_filled_with_silence(num_samples: int, num_features: int) -> None:
    assert features(np.ones(num_samples)).shape == (num_features, 64)


def test_without_a_recording_there_is_nothing() -> None:
    assert AudioPreprocessor(CONFIG).prepare(Sample(text="a")) is None


@pytest.mark.parametrize("hz", [300, 1000, 3000, 6000])
def test_a_tone_is_loudest_in_the_band_that_holds_it(hz: float) -> None:
    bands_KF = mel_bands(64, 512, 16_000)
    own = int(bands_KF[round(hz * 512 / 16_000)].argmax())
    found_TF = features(tone(hz))
    assert abs(found_TF.mean(axis=0).argmax() - own) <= 1
    assert found_TF.max() == pytest.approx(1, abs=0.01)


def test_silence_is_silent_everywhere() -> None:
    assert (features(np.zeros(1600)) == -1).all()


def test_a_level_changes_nothing() -> None:
    noise = RNG.standard_normal(3200)
    assert features(0.3 * noise) == pytest.approx(features(0.003 * noise), abs=1e-4)


def test_what_is_40_db_below_the_loudest_is_0_and_what_is_80_db_below_is_the_least() -> None:
    loud, soft = tone(1000, 3200), tone(1000, 3200)
    loud[1600:] = 0
    soft[:1600] = 0
    band = features(loud)[2].argmax()
    assert features(loud + 0.01 * soft)[15, band] == pytest.approx(0, abs=0.05)
    assert features(loud + 1e-5 * soft)[15, band] == -1


def test_the_features_of_a_recording_do_not_depend_on_its_company() -> None:
    preprocessor = AudioPreprocessor(CONFIG)
    items = [
        preprocessor.prepare(Sample(audio=RNG.standard_normal(size).astype(np.float32))) for size in (900, 3000)
    ]
    batch = preprocessor.collate([item for item in items if item is not None])
    assert batch["features"].dtype == np.float32
    assert batch["lengths"].tolist() == [5, 18]
    for own, length, item in zip(batch["features"], batch["lengths"], items, strict=True):
        assert item is not None
        assert np.array_equal(own[:length], item["features"])
        assert (own[length:] == -1).all()
    assert preprocessor.cost(items[1] or {}) == 18


def test_every_band_has_a_frequency_and_its_weights_sum_to_1() -> None:
    for rate_hz, num_mels in ((8_000, 40), (16_000, 128), (48_000, 256)):
        config = AudioPreprocessing(rate_hz=rate_hz, num_mels=num_mels)
        bands_KF = mel_bands(num_mels, 1 << (config.window - 1).bit_length(), rate_hz)
        assert bands_KF.sum(axis=0) == pytest.approx(np.ones(num_mels))
        assert (bands_KF >= 0).all()


SPEECH = {"num_mels": 32, "bands": "speech_embedding"}


def test_slaney_s_bands_are_of_equal_area_and_hear_up_to_3800_hz() -> None:
    for rate_hz, num_fft in ((8_000, 256), (16_000, 512)):
        bands_KF = slaney_bands(32, num_fft, rate_hz)
        heard = np.flatnonzero(bands_KF.sum(axis=1)) * rate_hz / num_fft
        assert (heard.min(), heard.max()) == (62.5, 3_781.25)
        # Of the area that a triangle has where it is not cut into steps of 31.25 Hz.
        assert bands_KF.sum(axis=0) == pytest.approx(np.ones(32), abs=0.05)


def test_a_recording_at_8_and_at_16_khz_sounds_alike_to_the_speech_embedding() -> None:
    def voice(rate_hz: int) -> np.ndarray:
        times = np.arange(rate_hz // 2) / rate_hz
        return sum(np.sin(2 * np.pi * 130 * k * times + k * k) / k for k in range(1, 25)) / 8  # type: ignore[return-value]

    low, high = (
        features(voice(rate_hz), AudioPreprocessing(rate_hz=rate_hz, **SPEECH))  # type: ignore[arg-type]
        for rate_hz in (8_000, 16_000)
    )
    assert low.shape == high.shape
    assert np.abs(low - high).max() < 0.02  # 0.8 dB


def test_the_speech_embedding_s_bands_come_with_its_sizes() -> None:
    for changes in ({"num_mels": 40}, {"hop_ms": 5.0}, {"rate_hz": 44_100}):
        with pytest.raises(ValueError, match="num_mels = 32"):
            AudioPreprocessing(**{**SPEECH, **changes})  # type: ignore[arg-type]
