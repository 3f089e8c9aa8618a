"""`python -m benchmarks.fuzz [--images N] [--bodies N] [--seed S]`: damaged images and bodies, in process.

What must hold: what comes out is answered with a 4xx, none takes 2 s of CPU, memory does not grow after warm-up.
tests/hostile asserts the same of 10,000."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

from app.body import IMAGE, FileParser, parse_json
from app.errors import status_of
from app.form import FormParser
from app.payload import read_batch, read_predict, read_search
from app.settings import Settings
from models.decode import decode_image
from models.image_guards import ImageLimits
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


def fuzz_images(count: int, seed: int = corpus.SEED) -> Outcome:
    """Decode `count` damaged images."""
    return _run(
        corpus.mutations(corpus.intact(), count, seed),
        count,
        lambda _, data: decode_image(data, side_px=32, limits=LIMITS),
    )


def fuzz_bodies(count: int, seed: int = corpus.SEED) -> Outcome:
    """Parse and check `count` damaged bodies of /predict, /predict/batch and a search."""
    settings = Settings()

    def parse(name: str, data: bytes) -> object:
        kind = name.split()[1]
        if kind == "form":
            parser = FormParser(corpus.FORM_TYPE, settings.spool_bytes, settings.max_form_parts)
            parser.write(data)
            return read_predict(parser.fields(), settings)
        if kind == "query":
            bare = FileParser(IMAGE, data.decode("latin-1"), settings.spool_bytes, settings.max_form_parts)
            return read_predict(bare.fields(), settings)
        read = {"json": read_predict, "batch": read_batch, "search": read_search}[kind]
        return read(parse_json(data, settings.max_json_values), settings)

    return _run(corpus.mutations(corpus.bodies(), count, seed), count, parse)


def _run(cases: Iterable[tuple[str, bytes]], count: int, attack: Callable[[str, bytes], object]) -> Outcome:
    outcome = Outcome()
    for number, (name, data) in enumerate(cases):
        if number == int(count * WARM_UP):
            outcome.warm_mb = resident_mb()
        start = process_time()
        try:
            attack(name, data)
            outcome.counts["accepted"] += 1
        except Exception as error:
            outcome.counts[type(error).__name__] += 1
            if status_of(error) >= 500:
                outcome.failures.append(f"{name}: {error!r}")
        outcome.slowest = max(outcome.slowest, (process_time() - start, name))
    outcome.end_mb = resident_mb()
    return outcome


def _report(what: str, count: int, seed: int, fuzz: Callable[[int, int], Outcome]) -> bool:
    start = perf_counter()
    outcome = fuzz(count, seed)
    print(f"{count:,} {what} in {perf_counter() - start:.0f} s: {dict(outcome.counts)}")
    print(f"slowest {outcome.slowest[0] * 1000:.0f} ms of CPU ({outcome.slowest[1]})")
    print(f"memory {outcome.warm_mb:.0f} MB after a fifth, {outcome.end_mb:.0f} MB at the end")
    print("\n".join(outcome.failures) or "no failure")
    return not outcome.failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description="Fuzz decoder and parsers.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=corpus.SEED)
    options = parser.parse_args()
    images = _report("images", options.images, options.seed, fuzz_images)
    bodies = _report("bodies", options.bodies, options.seed, fuzz_bodies)
    return int(not (images and bodies))


if __name__ == "__main__":
    sys.exit(main())
