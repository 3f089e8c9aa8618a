"""What a machine, an operator and a client may do to a running service, each while others are being served.

Every answer is compared with the right one. A scenario gives its figures, and under `faults` what went wrong:
an empty list is what is wanted. One that the service has no route for is skipped, and says so."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.faults import clients, files, life, versions

Scenario = Callable[[Bench, float], dict[str, Any]]
"""Takes the material and the seconds to run for."""

SCENARIOS: dict[str, tuple[Scenario, float]] = {
    "sigterm": (life.sigterm, 8.0),
    "kill": (life.kill, 12.0),
    "slow_clients": (clients.slow, 40.0),
    "truncated": (files.truncated, 12.0),
    "deleted": (files.deleted, 12.0),
    "full_disk": (files.full_disk, 12.0),
    "versions": (versions.swapped, 60.0),
}
"""Each with its usual seconds."""


def main(arguments: Sequence[str]) -> None:
    """Run the scenarios, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving faults", description=__doc__)
    add_options(parser)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    options, flags = parser.parse_known_args(arguments)
    bench = make_bench(options, flags)
    found = {}
    for name in options.only:
        scenario, seconds = SCENARIOS[name]
        found[name] = scenario(bench, seconds)
        print(name, found[name], flush=True)
    report.write("serving_faults", options.images, {"scenarios": found}, options.out)
