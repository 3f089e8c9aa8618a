"""`python -m benchmarks.fuzz [--images N] [--seed S]`: damaged images through the decoder.

What must hold: nothing but an InputError comes out, none takes 2 s, and memory does not grow after warm-up.
tests/hostile/test_fuzz.py asserts the same of 10,000."""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from models.decode import ImageLimits, decode_image
from models.errors import InputError
from tests.hostile import corpus

LIMITS = ImageLimits()
WARM_UP = 0.2  # share of the images after which memory must have settled


@dataclass
class Outcome:
    """What came of them. `failures` should be empty."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    warm_mb: float = 0.0
    end_mb: float = 0.0


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def fuzz(count: int, seed: int = corpus.SEED) -> Outcome:
    """Decode `count` damaged images."""
    outcome = Outcome()
    for number, (name, data) in enumerate(corpus.mutations(corpus.intact(), count, seed)):
        if number == int(count * WARM_UP):
            outcome.warm_mb = resident_mb()
        start = perf_counter()
        try:
            decode_image(data, side_px=32, limits=LIMITS)
            outcome.counts["decoded"] += 1
        except InputError as error:
            outcome.counts[type(error).__name__] += 1
        except BaseException as error:  # whatever it is, it is a find
            outcome.failures.append(f"{name}: {error!r}")
        outcome.slowest = max(outcome.slowest, (perf_counter() - start, name))
    outcome.end_mb = resident_mb()
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description="Fuzz the image decoder.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=corpus.SEED)
    options = parser.parse_args()
    start = perf_counter()
    outcome = fuzz(options.images, options.seed)
    print(f"{options.images:,} images in {perf_counter() - start:.0f} s: {dict(outcome.counts)}")
    print(f"slowest {outcome.slowest[0] * 1000:.0f} ms ({outcome.slowest[1]})")
    print(f"memory {outcome.warm_mb:.0f} MB after a fifth, {outcome.end_mb:.0f} MB at the end")
    print("\n".join(outcome.failures) or "no failure")
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
