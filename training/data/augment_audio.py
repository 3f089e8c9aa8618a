"""Random changes to recordings, before and after they become log-mel features.

# S samples, T features, F bands"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.preprocess.audio import RANGE_DB, SILENT
from training.augmentation import Augmentation

Floats = NDArray[np.float32]
_NUM_KNOTS = 6
_MAINS_HZ = (50, 60)
_NUM_HARMONICS = 6
_NUM_MASKS = 2  # each of half of the share that may be blanked


def augment_samples(samples_S: Floats, config: Augmentation, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Another speed, silence around it, noise and another level. Never empty where it was not."""
    samples_S = _at_speed(samples_S, 1 + config.audio_speed * rng.uniform(-1, 1))
    around = rng.uniform(0, config.audio_shift_ms / 1000 * rate_hz, 2).astype(int)
    samples_S = np.pad(samples_S, tuple(around))
    if rng.random() < config.audio_noise:
        samples_S = samples_S + _noise(samples_S, rng.uniform(*config.audio_noise_db), rate_hz, rng)
    gain = 10 ** (config.audio_gain_db * rng.uniform(-1, 1) / 20)
    return (gain * samples_S).astype(np.float32)


def join(parts: Sequence[Floats], config: Augmentation, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Recordings one after the other, with pauses between them."""
    joined: list[Floats] = [parts[0]]
    for part in parts[1:]:
        pause = round(rng.uniform(*config.audio_pause_ms) / 1000 * rate_hz)
        joined += [np.zeros(pause, dtype=np.float32), part]
    return np.concatenate(joined)


def augment_features(features_TF: Floats, config: Augmentation, rng: np.random.Generator) -> Floats:
    """Another throat (Jaitly and Hinton 2013, VTLP) and microphone; masks (Park et al. 2019, SpecAugment)."""
    features_TF = _warped(features_TF, 1 + config.audio_warp * rng.uniform(-1, 1))
    if config.audio_tone_db:
        features_TF = np.clip(features_TF + _tone(features_TF.shape[1], config.audio_tone_db, rng), SILENT, 1.0)
    for axis, share in ((0, config.audio_time_mask), (1, config.audio_band_mask)):
        size = features_TF.shape[axis]
        for _ in range(_NUM_MASKS):
            width = int(rng.uniform(0, share / _NUM_MASKS * size + 1))
            start = int(rng.integers(0, size - width + 1))
            features_TF[(slice(None),) * axis + (slice(start, start + width),)] = SILENT
    return features_TF


def _at_speed(samples_S: Floats, speed: float) -> Floats:
    """Played `speed` times as fast. Linear between samples: what that loses lies above the voice."""
    if len(samples_S) < 2 or speed == 1:
        return samples_S
    length = max(1, round(len(samples_S) / speed))
    places = np.linspace(0, len(samples_S) - 1, length)
    return np.interp(places, np.arange(len(samples_S)), samples_S).astype(np.float32)


def _noise(samples_S: Floats, db: float, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Noise `db` below the recording's mean power: white, a room's, or the mains' hum, each as likely."""
    kind = rng.integers(3)
    noise_S = _hum(len(samples_S), rate_hz, rng) if kind == 2 else rng.standard_normal(len(samples_S))
    if kind == 1 and len(samples_S) > 1:  # falls by 3 dB an octave
        spectrum = np.fft.rfft(noise_S)
        spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
        noise_S = np.fft.irfft(spectrum, len(samples_S))
    power, own = np.mean(samples_S**2), np.mean(noise_S**2)
    if not own:
        return np.zeros_like(samples_S)
    scaled_S: Floats = (noise_S * np.sqrt(power / own) * 10 ** (-db / 20)).astype(np.float32)
    return scaled_S


def _hum(length: int, rate_hz: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """50 or 60 Hz with harmonics that fade, and a little hiss."""
    times_S = np.arange(length) / rate_hz
    hum_S = 0.05 * rng.standard_normal(length)
    for number in range(1, _NUM_HARMONICS + 1):
        phase = rng.uniform(0, 2 * np.pi)
        hum_S += rng.uniform(0, 1) / number * np.sin(2 * np.pi * number * rng.choice(_MAINS_HZ) * times_S + phase)
    return hum_S


def _warped(features_TF: Floats, factor: float) -> Floats:
    """Band f holds what was at f / factor, linear between bands; what lies beyond the last one repeats it."""
    num_bands = features_TF.shape[1]
    places_F = np.clip(np.arange(num_bands) / factor, 0, num_bands - 1)
    low_F = places_F.astype(int)
    high_F = np.minimum(low_F + 1, num_bands - 1)
    share_F = (places_F - low_F).astype(np.float32)
    warped_TF: Floats = features_TF[:, low_F] * (1 - share_F) + features_TF[:, high_F] * share_F
    return warped_TF


def _tone(num_bands: int, deviation_db: float, rng: np.random.Generator) -> Floats:
    """A smooth curve over the bands, its mean 0, in the features' unit."""
    knots = rng.normal(0, deviation_db, _NUM_KNOTS)
    places_F = np.linspace(0, _NUM_KNOTS - 1, num_bands)
    curve_F = np.interp(places_F, np.arange(_NUM_KNOTS), knots)
    tone_F: Floats = ((curve_F - curve_F.mean()) / (RANGE_DB / 2)).astype(np.float32)
    return tone_F
