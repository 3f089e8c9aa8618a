"""Which subword comes next, of all that could: the likeliest, or one that is drawn; and which must not.

# V subwords"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.subwords import START, UNKNOWN

Floats = NDArray[np.float32]


def allowed(log_probs_V: Floats, before: Sequence[int], no_repeat_ngram: int) -> Floats:
    """Log-probabilities with -inf for what must not follow `before`: what is no text, and runs it has already."""
    open_V = log_probs_V.copy()
    open_V[[START, UNKNOWN]] = -np.inf
    if no_repeat_ngram:
        open_V[list(_repeats(before, no_repeat_ngram))] = -np.inf
    return open_V


def _repeats(before: Sequence[int], size: int) -> Iterator[int]:
    """What would end a run of `size` that stands in `before` already."""
    if size == 1:
        yield from before
        return
    last = list(before[len(before) - size + 1 :])
    for end in range(size - 1, len(before)):
        # The number before tells most apart, and is cheaper than a slice.
        if before[end - 1] == last[-1] and list(before[end - size + 1 : end]) == last:
            yield before[end]


def draw(open_V: Floats, temperature: float, top_p: float, rng: np.random.Generator) -> int:
    """The likeliest at temperature 0; else one drawn among those that together have the probability top_p.

    Args:
        open_V: log-probabilities, -inf for what must not be.
        temperature: log-probabilities are divided by it.
        top_p: the likeliest of them that reach it are drawn from (Holtzman et al. 2020, nucleus sampling).
        rng: gives one number.
    """
    if not temperature:
        return int(open_V.argmax())
    scaled_V = (open_V - open_V.max()).astype(np.float64) / temperature
    probs_V = np.exp(scaled_V)
    order_V = np.argsort(-probs_V, kind="stable")
    shares_V = np.cumsum(probs_V[order_V]) / probs_V.sum()
    # The one that crosses top_p is in.
    kept = order_V[: int(np.searchsorted(shares_V, top_p)) + 1]
    within = np.cumsum(probs_V[kept])
    return int(kept[min(int(np.searchsorted(within, rng.random() * within[-1], side="right")), len(kept) - 1)])
