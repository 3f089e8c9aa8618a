"""One index in a process of its own, asked by lines of JSON: `benchmarks.retrieval.worker NAME FOLDER`."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval.contestants import Contestant, Exact, Ours, make

SIZE = "shape.json"


def read(folder: Path, name: str) -> Any:
    """An array that the parent wrote: float32, or int64 for the truth."""
    shape = json.loads((folder / SIZE).read_text())[name]
    return np.fromfile(folder / name, np.int64 if name == "truth" else np.float32).reshape(shape)


def resident_mb() -> float:
    """Of this process now; what it shares counts too."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def build(contestant: Contestant, folder: Path) -> dict[str, float]:
    """Build; the seconds, and by how much the process grew, the vectors and code that it keeps included."""
    before = resident_mb()
    vectors_NE = read(folder, "vectors")
    start = time.perf_counter()
    contestant.build(vectors_NE)
    seconds = time.perf_counter() - start
    count = len(vectors_NE)
    if not contestant.keeps_given:
        del vectors_NE
    grown = {"memory_mb": round(resident_mb() - before, 1)}
    # Brute force builds nothing: a rate of it would say nothing.
    return grown if isinstance(contestant, Exact) else {"build_vectors_per_s": round(count / seconds), **grown}


def ask(
    contestant: Contestant, folder: Path, width: int | None, count: int, seconds: float = 0.0
) -> dict[str, float]:
    """Pass over the first `count` queries, and again until `seconds` are over: recall@10 and queries a second."""
    queries, truth = read(folder, "queries")[:count], read(folder, "truth")[:count]
    if width is not None:
        contestant.widen(width)
    for query in queries[:20]:
        contestant.search(query, truth.shape[1])
    passes, start, spent = 0, time.perf_counter(), 0.0
    while passes == 0 or spent < seconds:
        found = [contestant.search(query, truth.shape[1]) for query in queries]
        passes, spent = passes + 1, time.perf_counter() - start
    hits = sum(len(set(map(int, one)) & set(map(int, true))) for one, true in zip(found, truth, strict=True))
    return {"recall": round(hits / truth.size, 4), "per_s": round(passes * len(queries) / spent, 1)}


def filtered(contestant: Contestant, folder: Path, share: float, count: int) -> dict[str, Any]:
    """Ours under a filter that keeps a random share: against brute force over what it keeps."""
    assert isinstance(contestant, Ours)
    vectors_NE, queries = contestant.index.room_NE, read(folder, "queries")[:count]
    kept = np.flatnonzero(np.random.default_rng(5).random(len(vectors_NE)) < share)
    kept_nE = vectors_NE[kept]
    start = time.perf_counter()
    found = [contestant.index.search(query, 10, kept)[0] for query in queries]
    seconds = time.perf_counter() - start
    true = [kept[np.argpartition(-(kept_nE @ query), 10)[:10]] for query in queries]
    hits = sum(len(np.intersect1d(one, other)) for one, other in zip(found, true, strict=True))
    return {
        "share": share,
        "kept": len(kept),
        "full": all(len(one) == 10 for one in found),
        "recall": round(hits / (10 * count), 4),
        "per_s": round(count / seconds, 1),
    }


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"build": build, "ask": ask, "filtered": filtered}


def main() -> None:
    """Answer until the parent closes the pipe."""
    contestant, folder = make(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        words: dict[str, Any] = json.loads(line)
        job: Callable[..., dict[str, Any]] = JOBS[words.pop("job")]
        print(json.dumps(job(contestant, folder, **words)), flush=True)


if __name__ == "__main__":
    main()
