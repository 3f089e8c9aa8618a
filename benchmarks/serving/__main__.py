"""`python -m benchmarks.serving COMMAND`: see the package."""

import signal
import sys

from benchmarks.serving import ceiling, costs, faults, overload, rivals, soak, table

COMMANDS = {
    "ceiling": ceiling.main,
    "costs": costs.main,
    "rivals": rivals.main,
    "overload": overload.main,
    "soak": soak.main,
    "faults": faults.main,
    "table": table.main,
}


def main() -> None:
    """Run the command that the first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m benchmarks.serving {'|'.join(COMMANDS)} [--help]")
    # As Ctrl-C does: by an exception, so that the servers that were started are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
