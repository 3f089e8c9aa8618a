"""`python -m benchmarks.speech COMMAND`: see the package."""

import sys

from benchmarks.speech import commands, loso, pocketsphinx, rtf

COMMANDS = {"loso": loso.main, "rtf": rtf.main, "pocketsphinx": pocketsphinx.main, "commands": commands.main}


def main() -> None:
    """Run the command that the first word names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m benchmarks.speech {'|'.join(COMMANDS)} [--help]")
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
