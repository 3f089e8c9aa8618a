"""Other servers with the same trained model beside this one and the ceiling, in interleaved rounds.

Each is started anew for its turn, for an idle one would still take its share of two cores; right before its load
the ceiling is measured. All are sent the same pairs, and every answer is compared with the one in process."""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.ceiling import check
from benchmarks.serving.contestants import FORMS, OURS, RIVALS, Rival, Settings
from benchmarks.serving.inprocess import Settings as CeilingSettings
from benchmarks.serving.load import Workload
from benchmarks.serving.processes import cpu_seconds, pss_mb
from benchmarks.serving.requests import Request
from benchmarks.serving.servers import NotReadyError, Server, free_port, running

CONNECTIONS = 16
PACKAGES = ("torch", "onnxruntime", "fastapi", "uvicorn", "litserve", "mosec", "bentoml", "ray")


@dataclass(frozen=True)
class Contestant:
    """A server with its settings chosen: how to start it, and what to send."""

    name: str
    form: str
    settings: Settings
    start: Callable[[], Server]
    workload: Workload


class Contest:
    """Starts the contestants, and measures them in turn."""

    def __init__(self, bench: Bench, python: str, seconds: float, ceiling: CeilingSettings) -> None:
        self._bench = bench
        self._ceiling = ceiling
        self._python = python
        self._seconds = seconds
        self._workloads: dict[Any, Workload] = {}
        self.tried: dict[str, Any] = {}
        self.failed: dict[str, str] = {}

    def ours(self) -> Contestant:
        """This service, as it is started by default."""
        return Contestant(OURS, "graphs", {}, self._bench.serve, self._bench.workload)

    def choose(self, rival: Rival, form: str) -> Contestant | None:
        """The rival with the settings that a short run found best; None where none starts and answers rightly."""
        found: list[tuple[float, Contestant]] = []
        for settings in rival.settings:
            contestant = self._contestant(rival, form, settings)
            try:
                found.append((self.turn(contestant, self._seconds / 2)["of_ceiling"], contestant))
            except (NotReadyError, RuntimeError) as error:
                self.failed[f"{rival.name}, {form}, {json.dumps(settings)}"] = str(error)[-600:]
                print(rival.name, form, settings, "failed:", str(error)[-600:], flush=True)
        shares = {json.dumps(one.settings): share for share, one in found}
        self.tried[f"{rival.name}, {form}"] = shares
        print(rival.name, form, shares, flush=True)
        return max(found, key=lambda one: one[0])[1] if found else None

    def turn(self, contestant: Contestant, seconds: float) -> dict[str, float]:
        """The ceiling, then the contestant, started for it."""
        # Before it is started: some servers poll their queues, and so take CPU while they idle.
        top = self._bench.model.measure(self._bench.pairs, seconds / 2, self._ceiling)
        with running(contestant.start()) as server:
            self._warm_up(contestant, server)
            load = contestant.workload.closed(server.port, CONNECTIONS, seconds)
            load.sleep_until(0.0)
            before = cpu_seconds(server.pid)
            result = check(load.wait())
            cpu = cpu_seconds(server.pid) - before
            return {
                "items_per_s": round(result.rate, 2),
                "of_ceiling": round(result.rate / top.per_second, 4),
                "ceiling_per_s": round(top.per_second, 2),
                "p50_ms": report.quantile_ms(result.records, 0.5) or 0.0,
                "p99_ms": report.quantile_ms(result.records, 0.99) or 0.0,
                "memory_pss_mb": round(pss_mb(server.pid), 1),
                "ready_seconds": round(server.ready_seconds, 2),
                "server_cpu_ms": round(1000 * cpu / len(result.records), 2),
                "client_cpu_ms": round(1000 * result.cpu_seconds / len(result.records), 2),
            }

    def _contestant(self, rival: Rival, form: str, settings: Settings) -> Contestant:
        checkpoint = self._bench.checkpoints / "fashion" / str(self._bench.version)
        pack = rival.pack

        def start() -> Server:
            port = free_port()
            environment = rival.variables(form, str(checkpoint), port, settings)
            command = rival.command(self._python, port, settings)
            return Server(command, port, pack(self._bench.pairs[0]), environment=environment)

        return Contestant(rival.name, form, settings, start, self._workload(pack))

    def _workload(self, pack: Callable[..., bytes]) -> Workload:
        if pack not in self._workloads:
            material = zip(self._bench.pairs, self._bench.expected, strict=True)
            self._workloads[pack] = Workload(
                [Request(data=pack(pair), expected=right) for pair, right in material]
            )
        return self._workloads[pack]

    def _warm_up(self, contestant: Contestant, server: Server) -> None:
        contestant.workload.closed(server.port, CONNECTIONS, min(3.0, self._seconds / 2)).wait()


def compare(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How this service stands to the best rival of each form."""
    ours = next((row for row in rows if row["name"] == OURS), None)
    found: dict[str, Any] = {}
    for form in FORMS:
        rivals = [row for row in rows if row["form"] == form and row["name"] != OURS]
        if ours is None or not rivals:
            continue
        best = max(rivals, key=lambda row: row["median"]["of_ceiling"])
        found[form] = {
            "best_rival": best["name"],
            # Of ratios to the ceiling beside each, so that a drift of the machine's speed is not in them.
            "ours_over_best": round(ours["median"]["of_ceiling"] / best["median"]["of_ceiling"], 3),
            "our_memory_over_best": round(ours["median"]["memory_pss_mb"] / best["median"]["memory_pss_mb"], 3),
        }
    return found


def main(arguments: Sequence[str]) -> None:
    """Choose settings, run the rounds, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving rivals", description=__doc__)
    add_options(parser)
    parser.add_argument(
        "--python", type=Path, required=True, help="of an environment with benchmarks/rivals/requirements.txt"
    )
    names = [rival.name for rival in RIVALS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options, flags = parser.parse_known_args(arguments)
    bench = make_bench(options, flags)
    python = str(options.python.absolute())  # a link to the interpreter is what makes an environment
    settings, _ = bench.model.best_settings(bench.pairs, options.seconds / 4)
    contest = Contest(bench, python, options.seconds, settings)
    chosen = [
        contest.choose(rival, form)
        for form in options.forms
        for rival in RIVALS
        if options.only is None or rival.name in options.only
    ]
    contestants = [contest.ours(), *(one for one in chosen if one is not None)]
    rounds: dict[int, list[dict[str, float]]] = {number: [] for number in range(len(contestants))}
    for _ in range(options.rounds):
        for number, contestant in enumerate(contestants):
            try:
                rounds[number].append(contest.turn(contestant, options.seconds))
            except (NotReadyError, RuntimeError) as error:  # the others' rounds are worth keeping
                contest.failed[f"{contestant.name}, {contestant.form}, a round"] = str(error)[-600:]
                continue
            print(contestant.name, contestant.form, rounds[number][-1], flush=True)
    rows = [
        {
            "name": one.name,
            "form": one.form,
            "settings": dict(one.settings),
            "median": report.medians(rounds[number]),
            "rounds": rounds[number],
        }
        for number, one in enumerate(contestants)
        if rounds[number]
    ]
    for row in rows:
        print(row["name"], row["form"], row["settings"], row["median"])
    everything = [one["ceiling_per_s"] for part in rounds.values() for one in part]
    found = {
        "connections": CONNECTIONS,
        "ceiling_per_s": round(statistics.median(everything), 2),
        "ceiling_settings": str(settings),
        "packages": report.packages(python, PACKAGES),
        "compared": compare(rows),
        "servers": rows,
        "settings_tried_of_ceiling": contest.tried,
        "failed": contest.failed,
    }
    print(found["compared"])
    report.write("rivals", options.images, found, options.out, hidden=str(options.python))
