"""A gallery in SQLite while it is written to: durable vectors a second, and what a search takes beside that."""

import argparse
import json
import os
import platform
import statistics
import tempfile
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.retrieval.index import OUT, commit, cpu_model
from benchmarks.retrieval.vectors import jittered, real
from benchmarks.serving.requests import ROOT
from retrieval.gallery import Entry, Query, WritableGallery
from retrieval.item import Item
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Embedding

TARGETS = ("fused", "image", "text")
DIMENSIONS = 256
PACE_PER_S = 2_000
"""Vectors: a service that embeds what it is sent writes fewer, for an inference stands before each."""

_BASE = real(ROOT / "checkpoints/fashion/2/gallery", DIMENSIONS)
_BATCH = 100
_NUM_QUERIES = 1000


def main(arguments: list[str]) -> None:
    """Measure; the figures are added to the file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval writes", description=__doc__)
    parser.add_argument("--items", type=int, default=20_000, help="that are there before")
    parser.add_argument("--seconds", type=float, default=10.0, help="of searches, idle and then beside an import")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    load = [round(part, 2) for part in os.getloadavg()]
    with tempfile.TemporaryDirectory() as folder:
        found = _measure(Path(folder), options.items, options.seconds)
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    kept["writes"] = {
        "command": f"python -m benchmarks.retrieval writes --items {options.items} --seconds {options.seconds:g}",
        "commit": commit(),
        "hardware": f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "load_before": load,
        **found,
    }
    options.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found))


def _measure(folder: Path, num_items: int, seconds: float) -> dict[str, Any]:
    store, random = SqliteStore(folder), np.random.default_rng(0)
    gallery = store.open("shop", Embedding(id="x", dimensions=DIMENSIONS, targets=TARGETS), model="shop")
    rates = {size: _import(gallery, random, num_items // 2, size) for size in (100, 1000)}
    queries = jittered(_BASE, _NUM_QUERIES, random)
    idle = _searches(gallery, queries, seconds)
    paced = _searches_beside_writes(gallery, queries, seconds, random, PACE_PER_S)
    unbounded = _searches_beside_writes(gallery, queries, seconds, random, None)
    store.close()
    return {
        "durable_vectors_per_s": {f"batches of {size}": round(rate) for size, rate in rates.items()},
        "search_idle": idle,
        f"search_beside_{PACE_PER_S}_vectors_per_s": paced,
        "p99_over_idle": round(paced["p99_ms"] / idle["p99_ms"], 2),
        "search_beside_writes_at_full_speed": unbounded,
    }


def _import(gallery: WritableGallery, random: np.random.Generator, count: int, size: int) -> float:
    """Write in batches; vectors a second, which are durable when a batch is answered."""
    batches = [_entries(random, size, f"{size}-{start}") for start in range(0, count, size)]
    start = perf_counter()
    for batch in batches:
        gallery.put(batch)
    return len(TARGETS) * size * len(batches) / (perf_counter() - start)


def _searches_beside_writes(
    gallery: WritableGallery, queries: Any, seconds: float, random: np.random.Generator, per_s: int | None
) -> dict[str, float]:
    stop = threading.Event()
    batch = _entries(random, _BATCH, f"late-{per_s}")
    writer = threading.Thread(target=_write_until, args=(gallery, batch, per_s, stop))
    writer.start()
    try:
        return _searches(gallery, queries, seconds)
    finally:
        stop.set()
        writer.join()


def _write_until(gallery: WritableGallery, batch: list[Entry], per_s: int | None, stop: threading.Event) -> None:
    """The same vectors under ever new ids: making others would be work that no import has."""
    pause_seconds = 0.0 if per_s is None else len(TARGETS) * len(batch) / per_s
    number, due = 0, perf_counter()
    while not stop.wait(max(0.0, due - perf_counter())):
        items = [Item(id=f"{entry.item.id}-{number}", text=entry.item.text) for entry in batch]
        gallery.put([Entry(item=item, vectors=old.vectors) for item, old in zip(items, batch, strict=True)])
        number, due = number + 1, due + pause_seconds


def _entries(random: np.random.Generator, count: int, prefix: str) -> list[Entry]:
    vectors = jittered(_BASE, count * len(TARGETS), random).reshape(count, len(TARGETS), -1)
    return [
        Entry(
            item=Item(id=f"{prefix}-{number}", text="Navy blue shirt", labels={"kind": "Shirts"}),
            vectors=dict(zip(TARGETS, own, strict=True)),
        )
        for number, own in enumerate(vectors)
    ]


def _searches(gallery: WritableGallery, queries: Any, seconds: float) -> dict[str, float]:
    taken: list[float] = []
    began = perf_counter()
    while perf_counter() - began < seconds:
        start = perf_counter()
        gallery.search(queries[len(taken) % len(queries)], Query(top_k=10))
        taken.append(perf_counter() - start)
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_ms": round(1000 * cuts[49], 3), "p99_ms": round(1000 * cuts[98], 3)}
