"""Two hundred clients that send a byte a second, beside ordinary ones."""

from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench
from benchmarks.serving.faults.verdict import summary, unanswered
from benchmarks.serving.processes import pss_mb
from benchmarks.serving.servers import running

SLOW, ORDINARY = 200, 16


def slow(bench: Bench, seconds: float) -> dict[str, Any]:
    """No ordinary request fails, and none takes much longer than without the slow ones."""
    with running(bench.serve()) as server:
        without = bench.workload.closed(server.port, ORDINARY, seconds / 4).wait()
        crawl = bench.workload.slow(server.port, SLOW, seconds)
        beside = bench.workload.closed(server.port, ORDINARY, seconds * 0.8, start_at=crawl.start_at + 1)
        beside.sleep_until(seconds * 0.4)
        memory = pss_mb(server.pid)
        result = beside.wait()
        crawled = crawl.wait()
        after = bench.workload.closed(server.port, ORDINARY, seconds / 8).wait()
    return summary(result, unanswered([*result.records, *after.records])) | {
        "right_per_s": {"without": round(without.rate, 2), "beside": round(result.rate, 2)},
        "p99_ms": {
            "without": report.quantile_ms(without.records, 0.99),
            "beside": report.quantile_ms(result.records, 0.99),
        },
        "memory_pss_mb": round(memory, 1),
        "slow_connections": crawled.most_open,
    }
