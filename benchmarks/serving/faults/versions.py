"""Another version takes over every few seconds while requests go on."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench
from benchmarks.serving.faults.files import copied
from benchmarks.serving.faults.verdict import summary, unanswered
from benchmarks.serving.load import Load
from benchmarks.serving.processes import pss_mb
from benchmarks.serving.requests import post
from benchmarks.serving.servers import Server, running

CONNECTIONS = 16
EVERY_SECONDS = 5.0
SWAPS_AT_LEAST = 2


def swapped(bench: Bench, seconds: float) -> dict[str, Any]:
    """Not one request fails, whichever version answers it. Both versions hold the same weights."""
    with copied(bench.checkpoints) as checkpoints:
        other = add_version(checkpoints / "fashion", bench.version)
        with running(bench.serve(checkpoints)) as server:
            first = load_version(server, other)
            if first[0] in (404, 405):
                return {"skipped": f"POST /models/fashion/load answers {first[0]}: no versions can be loaded"}
            before = pss_mb(server.pid)
            load = bench.workload.closed(server.port, CONNECTIONS, seconds)
            swaps = _swap(server, load, (bench.version, other), min(EVERY_SECONDS, seconds / 3))
            result = load.wait()
            after = pss_mb(server.pid)
    faults = unanswered(result.records)
    faults += [f"load answered {status}" for status, _ in (first, *swaps) if status != 200]
    if len(result.versions) < SWAPS_AT_LEAST:
        faults.append(f"only versions {sorted(result.versions)} answered")
    return summary(result, faults) | {
        "swaps": len(swaps),
        "load_ms": [round(1000 * taken) for _, taken in swaps],
        "answers_by_version": dict(result.versions),
        "p99_ms": report.quantile_ms(result.records, 0.99),
        "memory_pss_mb": [round(before, 1), round(after, 1)],
    }


def add_version(model: Path, version: int) -> int:
    """Copy a version to the next number: its config is what names it, and no hash covers that."""
    copy = model / str(version + 1)
    shutil.copytree(model / str(version), copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"version": version + 1}))
    return version + 1


def load_version(server: Server, version: int) -> tuple[int, float]:
    """Ask for a version; the status of the answer, and its seconds."""
    start = time.monotonic()
    body = json.dumps({"version": version}).encode()
    status = server.ask(post("/models/fashion/load", "application/json", body)).status
    return status, time.monotonic() - start


def _swap(server: Server, load: Load, versions: tuple[int, int], every_seconds: float) -> list[tuple[int, float]]:
    swaps: list[tuple[int, float]] = []
    while (due := every_seconds * (len(swaps) + 1)) < load.end_at - load.start_at:
        load.sleep_until(due)
        swaps.append(load_version(server, versions[len(swaps) % 2]))
    return swaps
