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
from retrieval.gallery import Entry, Query, WritableGallery
from retrieval.item import Item
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Embedding

TARGETS = ("fused", "image", "text")
DIMENSIONS = 256
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
    queries = random.standard_normal((_NUM_QUERIES, DIMENSIONS)).astype(np.float32)
    idle = _searches(gallery, queries, seconds)
    stop = threading.Event()
    writer = threading.Thread(target=_write_until, args=(gallery, random, stop))
    writer.start()
    busy = _searches(gallery, queries, seconds)
    stop.set()
    writer.join()
    store.close()
    return {
        "durable_vectors_per_s": {f"batches of {size}": round(rate) for size, rate in rates.items()},
        "search_idle": idle,
        "search_during_import": busy,
        "p99_over_idle": round(busy["p99_ms"] / idle["p99_ms"], 2),
    }


def _import(gallery: WritableGallery, random: np.random.Generator, count: int, size: int) -> float:
    """Write in batches; vectors a second, which are durable when a batch is answered."""
    batches = [_entries(random, size, f"{size}-{start}") for start in range(0, count, size)]
    start = perf_counter()
    for batch in batches:
        gallery.put(batch)
    return len(TARGETS) * size * len(batches) / (perf_counter() - start)


def _write_until(gallery: WritableGallery, random: np.random.Generator, stop: threading.Event) -> None:
    """The same hundred vectors under ever new ids: making others would be work that no import has."""
    batch, number = _entries(random, 100, "late"), 0
    while not stop.is_set():
        items = [Item(id=f"{entry.item.id}-{number}", text=entry.item.text) for entry in batch]
        gallery.put([Entry(item=item, vectors=old.vectors) for item, old in zip(items, batch, strict=True)])
        number += 1


def _entries(random: np.random.Generator, count: int, prefix: str) -> list[Entry]:
    vectors = random.standard_normal((count, len(TARGETS), DIMENSIONS)).astype(np.float32)
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
