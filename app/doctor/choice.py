"""Which of several measured settings is best, and whether the figures are sure enough to say so.

Knows numbers only. Figures of one round belong together: a busy neighbour slows all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

CLOSE = 0.03
"""Settings that differ by less are as good as one another, and something else decides."""

WAITING_PAYS = 1.5
"""Batches must give so many times the items a second of single items, before to wait for one is worth it."""


class Pair(NamedTuple):
    """Threads inside one operator, and workers that each have so many."""

    threads: int
    workers: int

    def __str__(self) -> str:
        return f"{self.threads} x {self.workers}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and a sentence that says why."""

    pair: Pair
    reason: str


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """Items of one kind in a forward pass. `gain`: items a second, in times of single items'."""

    size: int
    reason: str
    gain: float


@dataclass(frozen=True, slots=True)
class _Difference:
    """Of two settings, round by round: the median of 'better by', and how far rounds lie apart."""

    gain: float
    noise: float

    @property
    def clear(self) -> bool:
        return abs(self.gain) > max(self.noise, CLOSE)

    def __str__(self) -> str:
        return f"{self.gain:.0%}, and rounds differ by {self.noise:.0%}"


def choose_pair(
    rates: Mapping[Pair, Sequence[float]], seconds_alone: Mapping[int, Sequence[float]], default: Pair
) -> Choice:
    """The pair with the most items a second; among those within CLOSE of it, the quickest for one request.

    Where requests take equally long too, the one with fewer threads. The default stays unless another is clearly
    better, by more than rounds differ.

    Args:
        rates: items a second in each round, of every pair, the default too. Pairs that were dropped have fewer.
        seconds_alone: of one request, in each round, by threads.
        default: what holds without settings.
    """
    best = max(median(found) for found in rates.values())
    close = [pair for pair, found in rates.items() if median(found) >= (1 - CLOSE) * best]
    quickest = min(median(seconds_alone[pair.threads]) for pair in close)
    quick = [pair for pair in close if (1 - CLOSE) * median(seconds_alone[pair.threads]) <= quickest]
    chosen = min(quick)
    if default in quick:  # as good as any
        return Choice(default, "no other is clearly better than the default")
    faster = _difference(rates[chosen], rates[default])
    sooner = _difference(seconds_alone[default.threads], seconds_alone[chosen.threads])
    if faster.clear and faster.gain > 0:
        return Choice(chosen, f"{faster.gain:.0%} more items a second than the default, {default}")
    # Its rate may be worse by what rounds differ: that must be less than what one request gains.
    if default in close and sooner.clear and sooner.gain > faster.noise:
        return Choice(
            chosen, f"one request is {sooner.gain:.0%} quicker than with the default, {default}, at the same rate"
        )
    what, found = ("one request's time", sooner) if default in close else ("the rate", faster)
    return Choice(default, f"{chosen} betters {what} by {found}: too noisy to tell, the default stays")


def choose_size(rates: Mapping[int, Sequence[float]], default: int, largest: int | None = None) -> BatchChoice:
    """The smallest batch within CLOSE of the most items a second. The default stays unless that is clearly better.

    Args:
        rates: items a second in each round, by the items in a batch; 1 and the default are among them.
        default: what holds without settings.
        largest: the most items for which there is memory, of which half are used at most; None where memory is
            not what bounds them.
    """
    most = max(rates) if largest is None else max(1, largest // 2)
    allowed = {size: found for size, found in rates.items() if size <= most}
    best = max(median(found) for found in allowed.values())
    size = min(size for size, found in allowed.items() if median(found) >= (1 - CLOSE) * best)
    gain = best / median(rates[1])
    if default not in allowed:
        return BatchChoice(size, "the default is more than half of what fits", gain)
    if median(allowed[default]) >= (1 - CLOSE) * best:
        return BatchChoice(default, "no other is clearly better than the default", gain)
    found = _difference(allowed[size], allowed[default])
    if found.clear:
        return BatchChoice(size, f"{found.gain:.0%} more items a second than the default, {default}", gain)
    return BatchChoice(default, f"{size} betters the rate by {found}: too noisy to tell, the default stays", gain)


def choose_wait_ms(gain: float, single_seconds: float) -> float:
    """How long a batch should wait for more items.

    Half the time of a pass of one item: a lone request takes half as long again at most, and only while others
    come often enough. None where batches give little, as on a CPU.
    """
    return round(500 * single_seconds, 1) if gain >= WAITING_PAYS else 0.0


def _difference(ours: Sequence[float], others: Sequence[float]) -> _Difference:
    ratios = [one / other for one, other in zip(ours, others, strict=False)]
    return _Difference(median(ratios) - 1, (max(ratios) - min(ratios)) / 2)
