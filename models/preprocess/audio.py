"""Samples to log-mel features: the power of each band of pitch, every few milliseconds, in dB below the loudest.

Relative to the recording's own loudest band, so that a level, which says how near a microphone stood, changes
nothing; silence stays silent all the same.

# S samples, T features, F bands, K frequencies, n recordings"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import Arrays
from models.config import AudioPreprocessing
from models.sample import Sample

MIN_HZ = 20.0
SPEECH_HZ = (60.0, 3_800.0)
RANGE_DB = 80.0
QUIET = 1e-6
"""Power of a band's mean that counts as silence however little else there is: some 90 dB below full scale."""

SILENT = -1.0
"""The least value of a feature, and what stands after a recording's end in a batch."""


class AudioPreprocessor:
    """Log-mel features in [-1, 1], 1 being the loudest band of the recording and -1 what is 80 dB below it."""

    def __init__(self, config: AudioPreprocessing) -> None:
        self.config = config
        self._num_fft = 1 << (config.window - 1).bit_length()
        # Periodic Hann, as for spectra (the symmetric one is for filters).
        self._window_S = np.hanning(config.window + 1)[:-1].astype(np.float32)
        of_kind = slaney_bands if config.bands == "speech_embedding" else mel_bands
        self._bands_KF = of_kind(config.num_mels, self._num_fft, config.rate_hz)
        self._scale = np.float32(1 / np.square(self._window_S).sum())

    def prepare(self, sample: Sample) -> Arrays | None:
        """`features`: (T, F) float32, T = 1 + ceil((S - window) / hop), at least 1; None without a recording."""
        if sample.audio is None:
            return None
        window, hop = self.config.window, self.config.hop
        num_features = 1 + max(0, -(-(len(sample.audio) - window) // hop))
        padded_S = np.zeros(window + (num_features - 1) * hop, dtype=np.float32)
        padded_S[: len(sample.audio)] = sample.audio
        frames_TS = np.lib.stride_tricks.sliding_window_view(padded_S, window)[::hop]
        spectrum_TK = np.fft.rfft(frames_TS * self._window_S, self._num_fft)
        power_TK = np.square(spectrum_TK.real) + np.square(spectrum_TK.imag)
        power_TF = (power_TK.astype(np.float32) * self._scale) @ self._bands_KF
        loudest = max(float(power_TF.max()), QUIET)
        decibels_TF = 10 * np.log10(np.maximum(power_TF / loudest, 10 ** (-RANGE_DB / 10)))
        features_TF = np.maximum(decibels_TF / (RANGE_DB / 2) + 1, SILENT)
        return {"features": features_TF.astype(np.float32, copy=False)}

    def collate(self, items: Sequence[Arrays]) -> Arrays:
        """`features`: (n, T, F) float32, silent after a recording's end; `lengths`: (n,) int64, without that."""
        lengths_n = np.array([len(item["features"]) for item in items], dtype=np.int64)
        features_nTF = np.full((len(items), int(lengths_n.max()), self.config.num_mels), SILENT, dtype=np.float32)
        for own_TF, item in zip(features_nTF, items, strict=True):
            own_TF[: len(item["features"])] = item["features"]
        return {"features": features_nTF, "lengths": lengths_n}

    def cost(self, arrays: Arrays) -> int:
        """Features."""
        return len(arrays["features"])


def mel_bands(num_mels: int, num_fft: int, rate_hz: int) -> NDArray[np.float32]:
    """(K, F): the weight of each frequency in each band; triangles of equal width on the mel scale, of sum 1.

    mel = 2595 log10(1 + Hz / 700), as in HTK. A triangle so narrow that no frequency lies within is given the
    nearest one.
    """
    frequencies_K = np.arange(num_fft // 2 + 1) * (rate_hz / num_fft)
    top = 2595 * np.log10(1 + rate_hz / 2 / 700)
    bottom = 2595 * np.log10(1 + MIN_HZ / 700)
    edges = 700 * (10 ** (np.linspace(bottom, top, num_mels + 2) / 2595) - 1)
    bands_KF = _triangles(frequencies_K, edges)
    for band in np.flatnonzero(bands_KF.sum(axis=0) == 0):
        bands_KF[np.abs(frequencies_K - edges[band + 1]).argmin(), band] = 1
    weights: NDArray[np.float32] = (bands_KF / bands_KF.sum(axis=0)).astype(np.float32)
    return weights


def slaney_bands(num_mels: int, num_fft: int, rate_hz: int) -> NDArray[np.float32]:
    """(K, F): triangles from 60 to 3,800 Hz, of equal area, as librosa has them by default.

    Slaney's mel (1998, Auditory Toolbox) is linear up to 1,000 Hz, in steps of 66.7 Hz, and logarithmic above, 27
    of them a factor of 6.4.
    """
    frequencies_K = np.arange(num_fft // 2 + 1) * (rate_hz / num_fft)
    knee, step, growth = 1_000.0, 200 / 3, np.log(6.4) / 27
    bottom, top = SPEECH_HZ[0] / step, knee / step + np.log(SPEECH_HZ[1] / knee) / growth
    mels = np.linspace(bottom, top, num_mels + 2)
    edges = np.where(mels < knee / step, step * mels, knee * np.exp(growth * (mels - knee / step)))
    area_F = (edges[2:] - edges[:-2]) / 2 / (rate_hz / num_fft)
    weights: NDArray[np.float32] = (_triangles(frequencies_K, edges) / area_F).astype(np.float32)
    return weights


def _triangles(frequencies_K: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    """(K, F): each rises from one edge to the next, and falls to the one after it."""
    low_F, middle_F, high_F = edges[:-2], edges[1:-1], edges[2:]
    rising_KF = (frequencies_K[:, None] - low_F) / (middle_F - low_F)
    falling_KF = (high_F - frequencies_K[:, None]) / (high_F - middle_F)
    triangles_KF: NDArray[Any] = np.maximum(0, np.minimum(rising_KF, falling_KF))
    return triangles_KF
