"""Items a second of two replicas under Ray Serve, beside two plain processes of the same settings, in turn.

Each has one inference thread. Plain processes get half of the connections each, as from a balancer that costs
nothing; Ray's proxy stands before its replicas. The load generator runs on the same cores."""

import argparse
import statistics
import time
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.ceiling import check
from benchmarks.serving.processes import cpu_seconds, pss_mb
from benchmarks.serving.requests import ROOT
from benchmarks.serving.servers import Server, free_port, running

NUM_REPLICAS = 2
PYTHON = ROOT / ".venv-ray" / "bin" / "python"


def ray_serve(bench: Bench, *, haproxy: bool) -> Server:
    """Replicas behind Ray's proxy in Python, or behind the HAProxy that Ray brings."""
    port = free_port()
    environment = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_HAPROXY_NBTHREAD": "1"} if haproxy else {}
    command = [str(PYTHON), "-m", "benchmarks.ray.replicas", str(port), str(NUM_REPLICAS)]
    return Server(command, port, bench.probe, environment=environment)


def measure(bench: Bench, servers: list[Server], connections: int, seconds: float) -> dict[str, float]:
    """One load over all of `servers` at once."""
    start_at = time.monotonic() + 4.0 * len(servers)  # generators take a second each to import, or three
    each = connections // len(servers)
    loads = [bench.workload.closed(server.port, each, seconds, start_at=start_at) for server in servers]
    loads[0].sleep_until(0.0)
    before = sum(cpu_seconds(server.pid) for server in servers)
    results = [check(load.wait()) for load in loads]
    records = [record for result in results for record in result.records]
    cpu = sum(cpu_seconds(server.pid) for server in servers) - before
    return {
        "items_per_s": round(sum(result.rate for result in results), 2),
        "p50_ms": report.quantile_ms(records, 0.5) or 0.0,
        "p99_ms": report.quantile_ms(records, 0.99) or 0.0,
        "server_cpu_ms": round(1000 * cpu / len(records), 2),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray", description=__doc__)
    add_options(parser)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--haproxy", action="store_true", help="with RAY_SERVE_ENABLE_HA_PROXY=1")
    options, flags = parser.parse_known_args()
    bench = make_bench(options, ["--num-workers", "1", "--galleries", "seed", *flags])
    rounds: list[dict[str, Any]] = []
    with (
        running(ray_serve(bench, haproxy=options.haproxy)) as ray,
        running(bench.serve()) as first,
        running(bench.serve()) as second,
    ):
        for servers in ([ray], [first, second]):
            measure(bench, servers, options.connections, options.seconds)  # to warm up
        for number in range(options.rounds):
            found: dict[str, Any] = {
                "ray": measure(bench, [ray], options.connections, options.seconds),
                "plain": measure(bench, [first, second], options.connections, options.seconds),
            }
            found["ratio"] = round(found["ray"]["items_per_s"] / found["plain"]["items_per_s"], 4)
            rounds.append(found)
            print(number, found, flush=True)
        memory = {"ray_pss_mb": pss_mb(ray.pid), "plain_pss_mb": pss_mb(first.pid) + pss_mb(second.pid)}
    ratios = [found["ratio"] for found in rounds]
    written = {
        "ratio": statistics.median(ratios),
        "ratio_from_to": [min(ratios), max(ratios)],
        "replicas": NUM_REPLICAS,
        "connections": options.connections,
        **{name: round(value, 1) for name, value in memory.items()},
        "packages": report.packages(str(PYTHON), ["ray"]),
        "rounds": rounds,
    }
    print({name: value for name, value in written.items() if name != "rounds"})
    report.write("ray_haproxy" if options.haproxy else "ray", options.images, written, options.out)


if __name__ == "__main__":
    main()
