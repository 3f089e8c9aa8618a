"""Where words are in a recording. Knows levels and rough places; knows no network.

A CTC head says that a word was there, by a frame or two of its choice, and not how long it took. So two words are
parted where it is quietest between their frames, and silence is taken off both ends of each.

# T features, F bands"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.transcript import Word

Floats = NDArray[np.float32]

_LEAST = -0.25
"""A feature below it is more than 50 dB softer than the loudest: silence in any recording."""

_ABOVE_NOISE = 0.25
"""A voice is 10 dB above what is heard a tenth of the time."""


def place_words(words: Sequence[Word], features_TF: Floats, hop_seconds: float) -> tuple[Word, ...]:
    """The words with their whole extent; one in whose place nothing is heard stays as it is.

    Args:
        words: in order, each with the frames that gave it away.
        features_TF: as `AudioPreprocessor.prepare` makes them.
        hop_seconds: from one feature to the next.
    """
    if not words:
        return ()
    loudness_T = features_TF.max(axis=1)
    num_features = len(loudness_T)
    middles = [
        min(num_features - 1, int((word.start_seconds + word.end_seconds) / 2 / hop_seconds)) for word in words
    ]
    parted = [_quietest(loudness_T, one, other) for one, other in pairwise(middles)]
    voiced_T = loudness_T > max(_LEAST, float(np.percentile(loudness_T, 10)) + _ABOVE_NOISE)
    if voiced_T.mean() < 0.05:  # hardly any contrast: one long sound
        voiced_T = loudness_T > _LEAST
    placed = []
    for word, start, end in zip(words, [0, *parted], [*parted, num_features], strict=True):
        heard = np.flatnonzero(voiced_T[start:end])
        if not len(heard):
            placed.append(word)
            continue
        first, last = start + int(heard[0]), start + int(heard[-1]) + 1
        placed.append(
            replace(word, start_seconds=round(first * hop_seconds, 3), end_seconds=round(last * hop_seconds, 3))
        )
    return tuple(placed)


def _quietest(loudness_T: Floats, start: int, end: int) -> int:
    """The middle of the quietest stretch between two features."""
    if end - start < 2:
        return max(start + 1, end)
    between = loudness_T[start : end + 1]
    least = np.flatnonzero(between <= between.min() + 1e-3)
    # Of several stretches the longest is the pause.
    runs = np.split(least, np.flatnonzero(np.diff(least) > 1) + 1)
    longest = max(runs, key=len)
    return start + int(longest[len(longest) // 2])
