"""`python -m benchmarks.retrieval COMMAND`: see the package."""

import sys

from benchmarks.retrieval import http, index, writes

COMMANDS = {"index": index.main, "http": http.main, "writes": writes.main}


def main() -> None:
    """Run the command that the first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m benchmarks.retrieval {'|'.join(COMMANDS)} [--help]")
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
