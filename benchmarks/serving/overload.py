"""Three times the requests that the service can answer, for a minute: what is answered, and what comes after.

An open loop: requests fall due at random whether or not earlier ones were answered, as those of many users do.
Every one asks for its answer within a deadline; an answer after that counts for nothing."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.load import Record, Result, Workload, select
from benchmarks.serving.processes import cpu_seconds, pss_mb
from benchmarks.serving.servers import Server, running

NORMAL = 1.5  # times the latency of a request alone before
IN_A_ROW = 3  # normal answers that count as back to normal: one may be luck
AFTER_SECONDS = 15.0
DEADLINE_HEADER = "X-Request-Timeout-Ms"


def capacity(bench: Bench, server: Server, seconds: float) -> float:
    """Right answers a second to 16 clients who each wait for the last answer."""
    bench.workload.closed(server.port, 16, min(3.0, seconds)).wait()  # to warm up
    return bench.workload.closed(server.port, 16, seconds).wait().rate


def seconds_to_normal(after: Result, end: float, alone_ms: float) -> float | None:
    """From `end` to the first of several answers in a row that take about as long as alone; None for never."""
    in_a_row: list[Record] = []
    for record in sorted(after.records, key=lambda record: record.sent):
        normal = record.verdict == "right" and 1000 * (record.done - record.sent) <= NORMAL * alone_ms
        in_a_row = [*in_a_row, record] if normal else []
        if len(in_a_row) == IN_A_ROW:
            return round(max(0.0, in_a_row[0].sent - end), 2)
    return None


def measure(
    bench: Bench,
    *,
    times: float,
    seconds: float,
    deadline_ms: int,
    steady_seconds: float,
    after_seconds: float = AFTER_SECONDS,
) -> dict[str, Any]:
    """One overload of a service that is started for it."""
    impatient = Workload(bench.good({DEADLINE_HEADER: str(deadline_ms)}))
    with running(bench.serve()) as server:
        most = capacity(bench, server, steady_seconds)
        before = bench.workload.closed(server.port, 1, steady_seconds / 2).wait()
        alone_ms = report.quantile_ms(before.with_verdict("right"), 0.5) or 0.0
        flood = impatient.open(server.port, times * most, seconds)
        # Started with the flood, for it must ask from the very end of it.
        after = bench.workload.closed(server.port, 1, after_seconds, start_at=flood.end_at)
        flood.sleep_until(0.0)
        cpu = cpu_seconds(server.pid)
        flood.sleep_until(seconds / 2)
        pss = pss_mb(server.pid)
        flood.sleep_until(seconds)
        cpu = cpu_seconds(server.pid) - cpu
        result, recovery = flood.wait(), after.wait()
        in_time = select(result.with_verdict("right"), lambda one: 1000 * one.seconds <= deadline_ms)
        late = len(result.with_verdict("right")) - len(in_time)
        shed = select(result.records, lambda one: one.status == 429)
        total = len(result.records)
        return {
            "capacity_per_s": round(most, 2),
            "offered_per_s": round(total / seconds, 2),
            "goodput_per_s": round(len(in_time) / seconds, 2),
            "goodput_of_capacity": round(len(in_time) / seconds / most, 4),
            "shares": {
                "in_time": round(len(in_time) / total, 4),
                "late": round(late / total, 4),
                "shed_429": round(len(shed) / total, 4),
            },
            "counts": result.count(),
            "num_5xx": result.num_5xx(),
            "wrong": len(result.with_verdict("wrong")),
            "examples": result.faults[:5],
            "accepted_p50_ms": report.quantile_ms(result.with_verdict("right"), 0.5),
            "accepted_p99_ms": report.quantile_ms(result.with_verdict("right"), 0.99),
            "shed_p50_ms": report.quantile_ms(shed, 0.5),
            "shed_p99_ms": report.quantile_ms(shed, 0.99),
            "most_open_requests": result.most_open,
            "server_cpu_cores": round(cpu / seconds, 3),
            "client_cpu_share_of_a_core": round(result.cpu_seconds / result.seconds, 3),
            "memory_pss_mb": round(pss, 1),
            "alone_before_ms": alone_ms,
            "seconds_to_normal": seconds_to_normal(recovery, flood.end_at, alone_ms),
            "after": recovery.count(),
        }


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving overload", description=__doc__)
    add_options(parser)
    parser.add_argument("--times", type=float, default=3.0, help="times the capacity")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--deadline-ms", type=int, default=2000)
    options, flags = parser.parse_known_args(arguments)
    started = time.monotonic()
    found = measure(
        make_bench(options, flags),
        times=options.times,
        seconds=options.seconds,
        deadline_ms=options.deadline_ms,
        steady_seconds=10,
    )
    for name, value in found.items():
        print(f"{name}: {value}")
    print(f"took {time.monotonic() - started:.0f} s")
    report.write("serving_overload", options.images, found, options.out)
