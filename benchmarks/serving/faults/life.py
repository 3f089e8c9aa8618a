"""The process is told to stop, or is killed, while it is under load."""

from typing import Any

from benchmarks.serving.bench import Bench
from benchmarks.serving.faults.verdict import summary, unanswered
from benchmarks.serving.load import select
from benchmarks.serving.servers import running

CONNECTIONS = 16
READY_SECONDS = 3.0  # after kill -9


def sigterm(bench: Bench, seconds: float) -> dict[str, Any]:
    """Nothing accepted is lost: whatever was sent before the signal is answered in full.

    Clients go on: a request that is sent later is answered or refused, never broken off.
    """
    with running(bench.serve()) as server:
        load = bench.workload.closed(server.port, CONNECTIONS, seconds)
        told = load.sleep_until(seconds / 2)
        stop_seconds = server.stop()
        result = load.wait()
    before = select(result.records, lambda one: one.sent < told)
    after = select(result.records, lambda one: one.sent >= told and one.verdict != "refused")
    faults = [f"sent before the signal: {line}" for line in unanswered(before)]
    faults += [f"sent after the signal: {line}" for line in unanswered(after)]
    if server.process.returncode != 0:
        faults.append(f"ended with {server.process.returncode}")
    in_flight = select(before, lambda one: one.done > told)
    return summary(result, faults) | {
        "in_flight_at_the_signal": len(in_flight),
        "answered_after_the_signal": len(after),
        "seconds_to_end": round(stop_seconds, 2),
    }


def kill(bench: Bench, seconds: float) -> dict[str, Any]:
    """kill -9 and a start at once: no wrong answer, ready again within seconds, and then all is well.

    What was in flight is lost, as it must be; clients see a broken connection and never a wrong answer.
    """
    with running(bench.serve()) as first:
        load = bench.workload.closed(first.port, CONNECTIONS, seconds)
        killed = load.sleep_until(seconds / 3)
        first.kill()
        with running(bench.serve(port=first.port)) as second:
            back = killed + second.ready_seconds
            result = load.wait()
    faults = unanswered(select(result.records, lambda one: one.done < killed or one.sent > back))
    if result.with_verdict("wrong"):
        faults.append("a wrong answer")
    if second.ready_seconds > READY_SECONDS:
        faults.append(f"ready again after {second.ready_seconds:.1f} s")
    return summary(result, faults) | {"seconds_to_ready_again": round(second.ready_seconds, 2)}
