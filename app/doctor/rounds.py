"""Which settings are measured, in which order: in rounds, so that a busy neighbour slows all of them alike.

Knows no model and no clock: a Bench measures one thing at a time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from app.doctor.choice import Pair

NUM_ROUNDS = 5
MAX_ITEMS = 1024
"""The largest batch that is tried. Cards are busy with far fewer."""
_ON_CPU_ITEMS = 32
_HOPELESS = 0.5  # of the best rate in the first round: measured no further


class Bench(Protocol):
    """What can be measured, once."""

    def rate(self, pair: Pair) -> float:
        """Items a second from files to matches, at saturation."""

    def seconds_alone(self, threads: int) -> float:
        """Of one item at a time, from files to matches."""

    def batch_rate(self, pair: Pair, kind: str, size: int) -> float:
        """Items a second through forward passes of `size` items of a kind. Raises MemoryError."""

    def fits(self, pair: Pair, kind: str, size: int) -> bool:
        """Whether every worker at once can run a pass of the longest items of a kind."""


Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PairFigures:
    """By pair, and by number of threads: a figure for each round."""

    rates: dict[Pair, list[float]] = field(default_factory=dict)
    seconds_alone: dict[int, list[float]] = field(default_factory=dict)


def pairs_for(cores: int, *, accelerator: bool = False) -> list[Pair]:
    """Threads x workers that use no more than the cores: powers of two, and the exact number.

    On an accelerator threads inside an operator do nothing, and only workers are tried.
    """
    counts = sorted({*(2**power for power in range(cores.bit_length())), cores})
    return [
        Pair(threads, workers)
        for threads in ([1] if accelerator else counts)
        for workers in counts
        if threads * workers <= cores
    ]


def measure_pairs(bench: Bench, pairs: Sequence[Pair], default: Pair, progress: Progress) -> PairFigures:
    """Measure every pair in every round; after the first, those that are hopeless no more. The default always."""
    figures = PairFigures()
    for number in range(NUM_ROUNDS):
        best = max((found[0] for found in figures.rates.values()), default=0.0)
        left = [
            pair for pair in pairs if pair == default or number == 0 or figures.rates[pair][0] >= _HOPELESS * best
        ]
        for pair in _turned(left, number):
            progress(f"round {number + 1} of {NUM_ROUNDS}: {pair.threads} threads, {pair.workers} workers")
            figures.rates.setdefault(pair, []).append(bench.rate(pair))
        for threads in _turned(sorted({pair.threads for pair in left}), number):
            progress(f"round {number + 1} of {NUM_ROUNDS}: one request, {threads} threads")
            figures.seconds_alone.setdefault(threads, []).append(bench.seconds_alone(threads))
    return figures


def largest_that_fits(bench: Bench, pair: Pair, kind: str, progress: Progress) -> int:
    """The most items in a pass, doubling up to MAX_ITEMS, of the longest items and with all workers at once."""
    size = 1
    while size < MAX_ITEMS:
        progress(f"does a batch of {2 * size} fit: {kind}")
        if not bench.fits(pair, kind, 2 * size):
            break
        size *= 2
    return size


def measure_sizes(
    bench: Bench, pair: Pair, kind: str, default: int, largest: int | None, progress: Progress
) -> dict[int, list[float]]:
    """Items a second by the items in a batch: powers of two, and the default; in rounds as well.

    Args:
        bench: measures.
        pair: the threads and workers that will be used.
        kind: of items, see `Bench`.
        default: the size that holds without settings.
        largest: for which there is memory, of which half is tried; None on a CPU.
        progress: takes a line before each figure.
    """
    most = _ON_CPU_ITEMS if largest is None else max(1, largest // 2)
    sizes = sorted({*(2**power for power in range(most.bit_length())), min(default, most)})
    rates: dict[int, list[float]] = {}
    for number in range(NUM_ROUNDS):
        # The order of the first round is the sizes': what cannot be had is found out with the least harm.
        for size in list(_turned(sizes, number)):
            progress(f"round {number + 1} of {NUM_ROUNDS}: batches of {size}, {kind}")
            try:
                rates.setdefault(size, []).append(bench.batch_rate(pair, kind, size))
            except MemoryError:
                sizes = [smaller for smaller in sizes if smaller < size]
                rates = {smaller: found for smaller, found in rates.items() if smaller < size}
                if not sizes:
                    raise
                break
    return rates


def medians(figures: Iterable[float]) -> tuple[float, float]:
    """The median, and half of the way from the least to the greatest as a share of it."""
    found = list(figures)
    middle = median(found)
    return middle, (max(found) - min(found)) / 2 / middle


def _turned(items: Sequence, number: int) -> Sequence:  # type: ignore[type-arg]
    """Every other round goes backwards, so that a machine that grows slower favours nothing."""
    return items if number % 2 == 0 else items[::-1]
