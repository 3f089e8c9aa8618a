"""Good, bad and cancelled requests at capacity for a long time: nothing may fail, and nothing may grow."""

import argparse
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.exchange import LostError, RefusedError
from benchmarks.serving.load import Workload
from benchmarks.serving.processes import num_descriptors, num_threads, private_mb, pss_mb, rss_mb
from benchmarks.serving.requests import Request, bad_requests
from benchmarks.serving.servers import Server, running

SETTLE_SECONDS = 120.0  # allocators and pools fill first; or a quarter of a shorter run
CALM_SECONDS = 2.0  # after the load, until descriptors and tasks are counted
BAD_SHARE, CANCELLED_SHARE = 0.12, 0.08
GAUGES = ("intermodal_requests_in_flight", "intermodal_queue_items")
_METRICS = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def mixture(bench: Bench, seed: int = 0) -> list[Request]:
    """Good requests with some bad ones and some that are cancelled, in random order."""
    rng = random.Random(seed)
    good, bad = bench.good(), bad_requests(bench.pairs, seed)
    total = max(int(len(good) / (1 - BAD_SHARE - CANCELLED_SHARE)), int(len(bad) / BAD_SHARE))
    mixed = [good[number % len(good)] for number in range(total)]
    for place in rng.sample(range(total), int(total * (BAD_SHARE + CANCELLED_SHARE))):
        is_bad = rng.random() < BAD_SHARE / (BAD_SHARE + CANCELLED_SHARE)
        mixed[place] = rng.choice(bad) if is_bad else Request(data=mixed[place].data, cancel=True)
    return mixed


def sample(server: Server) -> dict[str, float]:
    """What the process holds now. A gauge that could not be read is left out."""
    found = {
        "pss_mb": round(pss_mb(server.pid), 2),
        "rss_mb": round(rss_mb(server.pid), 2),
        "private_mb": round(private_mb(server.pid), 2),
        "descriptors": num_descriptors(server.pid),
        "threads": num_threads(server.pid),
    }
    try:
        lines = server.ask(_METRICS).body.decode().splitlines()
    except (RefusedError, LostError):
        return found
    for gauge in GAUGES:
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(gauge)]
        if values:
            found[gauge] = sum(values)
    return found


def watch(server: Server, every_seconds: float, stop: threading.Event) -> list[dict[str, float]]:
    """A sample every so often, until told to stop."""
    samples, began = [], time.monotonic()
    while not stop.wait(every_seconds):
        samples.append({"seconds": round(time.monotonic() - began, 1), **sample(server)})
    return samples


def measure(bench: Bench, *, seconds: float, connections: int = 16, every_seconds: float = 10.0) -> dict[str, Any]:
    """One soak of a service that is started for it."""
    workload = Workload(mixture(bench))
    samples: list[dict[str, float]] = []
    stop = threading.Event()
    with running(bench.serve()) as server:
        before = sample(server)
        load = workload.closed(server.port, connections, seconds)
        load.sleep_until(0.0)
        watcher = threading.Thread(target=lambda: samples.extend(watch(server, every_seconds, stop)))
        watcher.start()
        try:
            result = load.wait()
        finally:
            stop.set()
            watcher.join()
        time.sleep(CALM_SECONDS)
        after = sample(server)
        alive = server.process.poll() is None
    settled = [one for one in samples if one["seconds"] >= min(SETTLE_SECONDS, seconds / 4)]

    def slope(name: str) -> float | None:
        return report.slope_per_minute([(one["seconds"], one[name]) for one in settled])

    return {
        "minutes": round(seconds / 60, 2),
        "requests": len(result.records),
        "right_per_s": round(result.rate, 2),
        "counts": result.count(),
        "num_5xx": result.num_5xx(),
        "wrong": len(result.with_verdict("wrong")),
        "lost": len(result.with_verdict("lost")),
        "examples": result.faults[:5],
        "p99_ms": report.quantile_ms(result.with_verdict("right"), 0.99),
        "private_slope_mb_per_minute": slope("private_mb"),
        "pss_slope_mb_per_minute": slope("pss_mb"),
        "rss_slope_mb_per_minute": slope("rss_mb"),
        "descriptors_slope_per_minute": slope("descriptors"),
        "threads_slope_per_minute": slope("threads"),
        "before": before,
        "after": after,
        "alive_at_the_end": alive,
        "samples": samples,
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving soak", description=__doc__)
    add_options(parser)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--connections", type=int, default=16)
    options, flags = parser.parse_known_args(arguments)
    found = measure(make_bench(options, flags), seconds=60 * options.minutes, connections=options.connections)
    for name, value in found.items():
        if name != "samples":
            print(f"{name}: {value}")
    report.write("serving_soak", options.images, found, options.out)
