"""`python -m benchmarks.captions COMMAND`: see the package."""

import importlib
import sys

COMMANDS = ("agree", "stream", "transformers")


def main() -> None:
    """Run the command that the first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m benchmarks.captions {'|'.join(COMMANDS)} [--help]")
    name = {"transformers": "rival"}.get(sys.argv[1], sys.argv[1])
    importlib.import_module(f"benchmarks.captions.{name}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
