"""From a loaded model to the best settings: what is measured, what is chosen. Prints and writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from app.doctor import rounds
from app.doctor.choice import BatchChoice, Choice, Pair, choose_pair, choose_size, choose_wait_ms
from app.setting_groups.computing import WORKERS_ON_A_CARD
from app.settings import Settings
from models.cores import usable_cores


class Bench(rounds.Bench, Protocol):
    """Also knows its model's items."""

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of items that it can measure."""

    def cost(self, kind: str) -> Mapping[str, int]:
        """By modality, the most that one item of a kind costs: pixels, tokens."""


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """Of one kind of items: items a second by size and round, the largest that fits (None: a CPU), the choice."""

    rates: Mapping[int, Sequence[float]]
    largest: int | None
    choice: BatchChoice


@dataclass(frozen=True, slots=True)
class Tuning:
    """All that was measured, and what follows: `settings` by field of Settings."""

    pairs: rounds.PairFigures
    choice: Choice
    batches: Mapping[str, BatchFigures]
    settings: Mapping[str, int | float]


def tune(bench: Bench, *, accelerator: bool, progress: rounds.Progress, cores: int | None = None) -> Tuning:
    """Measure, and choose.

    Args:
        bench: measures.
        accelerator: whether the network runs on a card, with memory of its own.
        progress: takes a line before each figure.
        cores: that may be used; by default those that there are.
    """
    cores = cores or usable_cores()
    default = Pair(1, WORKERS_ON_A_CARD if accelerator else cores)
    candidates = list(dict.fromkeys([*rounds.pairs_for(cores, accelerator=accelerator), default]))
    pairs = rounds.measure_pairs(bench, candidates, default, progress)
    choice = choose_pair(pairs.rates, pairs.seconds_alone, default)
    batches = {}
    for kind in bench.kinds:
        size = default_size(bench.cost(kind))
        largest = rounds.largest_that_fits(bench, choice.pair, kind, progress) if accelerator else None
        rates = rounds.measure_sizes(bench, choice.pair, kind, size, largest, progress)
        batches[kind] = BatchFigures(rates, largest, choose_size(rates, size, largest))
    # The first kind is what a pass spends most on. On a CPU a worker that waits is a core that waits.
    main_kind = next(iter(batches.values()))
    wait_ms = (
        choose_wait_ms(main_kind.choice.gain, choice.pair.workers / median(main_kind.rates[1]))
        if accelerator
        else 0.0
    )
    return Tuning(pairs, choice, batches, _settings(bench, choice, default, batches, wait_ms))


_COSTS = {
    "max_batch_pixels": "image",
    "max_batch_tokens": "text",
    "max_batch_frames": "audio",
    "max_batch_readings": "sensors",
}


def default_size(cost: Mapping[str, int]) -> int:
    """How many items that cost so much the defaults of Settings put into one forward pass."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    limits = {modality: defaults[name] for name, modality in _COSTS.items()}
    fitting = (int(limits[name] // each) for name, each in cost.items() if each)
    return max(1, min(int(defaults["max_batch_items"]), *fitting))


def _settings(
    bench: Bench, choice: Choice, default: Pair, batches: Mapping[str, BatchFigures], wait_ms: float
) -> dict[str, int | float]:
    """A batch is bounded by pixels where it has images, by items, tokens and frames where it has not.

    What stays as it is by default is not written, so that a machine with other cores has its own default.
    """
    found: dict[str, int | float] = {}
    if choice.pair != default:
        found |= {"num_threads": choice.pair.threads, "num_workers": choice.pair.workers}
    kept = {kind: default_size(bench.cost(kind)) == part.choice.size for kind, part in batches.items()}
    if not all(kept.values()):
        costs = {kind: bench.cost(kind) for kind in batches}
        sizes = {kind: part.choice.size for kind, part in batches.items()}
        found["max_batch_items"] = max(sizes.values())
        for name, modality in _COSTS.items():
            most = max(sizes[kind] * costs[kind].get(modality, 0) for kind in batches)
            if most:
                found[name] = most
    if wait_ms:
        found["max_batch_wait_ms"] = wait_ms
    return found
