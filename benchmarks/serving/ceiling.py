"""Served items a second beside the in-process ceiling, at several numbers of connections, in one run.

The ceiling is measured right before each load, so that a drift of the machine's speed hits both; its settings are
the best of those tried at the start. The load generator takes its CPU from the same cores: `client_cpu_ms` is
what an item cost it, and no server can reach a ratio of 1 while it runs."""

import argparse
import statistics
import time
from collections.abc import Sequence

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.inprocess import Settings
from benchmarks.serving.load import Result
from benchmarks.serving.processes import cpu_seconds, pss_mb
from benchmarks.serving.servers import Server, running


def check(result: Result) -> Result:
    """The result, where every answer was right.

    Raises:
        RuntimeError: one was not; figures of wrong answers are worth nothing.
    """
    if result.with_verdict("right") != result.records:
        raise RuntimeError(f"not every answer was right: {result.count()}, e.g. {result.faults[:3]}")
    return result


def measure(
    bench: Bench, server: Server, settings: Settings, connections: int, seconds: float
) -> dict[str, float]:
    """One pair: the ceiling, then the server under this many connections."""
    top = bench.model.measure(bench.pairs, seconds, settings)
    load = bench.workload.closed(server.port, connections, seconds)
    load.sleep_until(0.0)
    before = cpu_seconds(server.pid)
    result = check(load.wait())
    server_cpu_ms = 1000 * (cpu_seconds(server.pid) - before) / len(result.records)
    p99_ms = report.quantile_ms(result.records, 0.99) or 0.0
    return {
        "ceiling_per_s": round(top.per_second, 2),
        "http_per_s": round(result.rate, 2),
        "ratio": round(result.rate / top.per_second, 4),
        "p50_ms": report.quantile_ms(result.records, 0.5) or 0.0,
        "p99_ms": p99_ms,
        "p99_over_fair_share": round(p99_ms / (1000 * connections / result.rate), 3),
        "server_cpu_ms": round(server_cpu_ms, 2),
        "ceiling_cpu_ms": round(top.cpu_ms, 2),
        "server_cpu_beyond_ms": round(server_cpu_ms - top.cpu_ms, 2),
        "client_cpu_ms": round(1000 * result.cpu_seconds / len(result.records), 2),
    }


def alone(bench: Bench, server: Server, seconds: float) -> dict[str, float]:
    """Median milliseconds of one item at a time, in process in one thread, and over HTTP by one connection."""
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop:
        bench.model.answer(bench.model.predictor(), [bench.pairs[len(times) % len(bench.pairs)]])
        times.append(time.perf_counter() - start)
    in_process = 1000 * statistics.median(times)
    http = report.quantile_ms(check(bench.workload.closed(server.port, 1, seconds).wait()).records, 0.5) or 0.0
    return {
        "in_process_p50_ms": round(in_process, 2),
        "http_p50_ms": http,
        "above_ms": round(http - in_process, 2),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving ceiling", description=__doc__)
    add_options(parser)
    parser.add_argument("--connections", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options, flags = parser.parse_known_args(arguments)
    bench = make_bench(options, flags)
    settings, tried = bench.model.best_settings(bench.pairs, min(3.0, options.seconds / 2))
    print(f"ceiling: {settings}, of {tried}", flush=True)
    rounds: dict[int, list[dict[str, float]]] = {number: [] for number in options.connections}
    singles = []
    with running(bench.serve()) as server:
        bench.workload.closed(server.port, 16, min(3.0, options.seconds)).wait()  # to warm up
        for number in range(options.rounds):
            for connections in options.connections:
                rounds[connections].append(measure(bench, server, settings, connections, options.seconds))
                print(number, connections, rounds[connections][-1], flush=True)
            singles.append(alone(bench, server, options.seconds / 2))
        found = {
            "ready_seconds": round(server.ready_seconds, 2),
            "memory_pss_mb": round(pss_mb(server.pid), 1),
            "ceiling_settings": {"chosen": str(settings), "per_s": tried},
            "alone": report.medians(singles),
            "connections": {
                str(number): {
                    "median": report.medians(rounds[number]),
                    "ratio_from_to": report.spread(rounds[number], "ratio"),
                    "rounds": rounds[number],
                }
                for number in options.connections
            },
        }
    for connections in options.connections:
        print(connections, report.medians(rounds[connections]))
    report.write("serving", options.images, found, options.out)
