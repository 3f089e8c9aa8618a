"""The offline road's commands: `python -m training init | check | train | evaluate | compare | record | drive`."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from models.errors import ConfigError, IntermodalError
from training.drafting.init import init
from training.driving.arguments import add_drive, add_record

GO_ON = {
    "train": "All but the last half minute is kept: run the same command with --resume.",
    "compare": "What is trained is kept, but for the last half minute: run the same command again.",
    "drive": "drive.json has the tracks that were driven to their end, if any was.",
    "record": "The tracks that are whole are kept: run the same command again.",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which is how a container, Kubernetes or a batch scheduler says Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 1 for errors that the caller can mend, which are printed without a traceback; 130 after
        Ctrl-C and 143 after SIGTERM, as a shell has it (128 and the signal's number).
    """
    options = _parser().parse_args(arguments)
    # The exporter's C++ warns of a shape that it need not know (a packed sequence's); torch reads this at import.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        with _sigterm_interrupts():
            return _run(options)
    except IntermodalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\nInterrupted. {GO_ON.get(options.command, '')}".rstrip(), file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _run(options: argparse.Namespace) -> int:
    if options.command == "init":
        return init(options)
    if options.command in ("record", "drive"):
        return _drives(options)
    # torch takes seconds to import; --help and a mistyped option need not wait for it.
    from training import commands

    run = {
        "check": commands.check,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "compare": commands.compare,
    }
    return run[options.command](options)


def _drives(options: argparse.Namespace) -> int:
    try:
        from training.driving import command
    except ImportError as error:
        raise ConfigError(f"{options.command} needs the extra driving ({error}). See docs/driving.md.") from None
    run = {"record": command.record_command, "drive": command.drive_command}
    return run[options.command](options)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """While entered, SIGTERM raises in the main thread, as SIGINT does, instead of ending the process at once."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    former = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train a model on pairs, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("init", help="look at a manifest, and write a recipe for it with comments")
    command.add_argument("manifest", type=Path, help="CSV, JSON Lines, Parquet, or a folder of class folders")
    command.add_argument("--out", type=Path, default=Path("recipe.toml"), help="the recipe to write")
    command.add_argument("--name", help="of the model; else the manifest's")
    command.add_argument("--force", action="store_true", help="replace a recipe that is there")
    for name, text in (
        ("check", "read the manifest and every image; say all faults"),
        ("train", "train a new version"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("recipe", type=Path, help="a TOML file, see recipes/")
        command.add_argument("--data", type=Path, help="the manifest; overrides the recipe's")
        if name == "train":
            command.add_argument(
                "--out", type=Path, default=Path("checkpoints"), help="where versions are written"
            )
            command.add_argument("--name", help="another name than the recipe's")
            _add_start(command)
            command.add_argument(
                "--work", type=Path, default=Path("runs"), help="caches and the state to resume from"
            )
            command.add_argument("--resume", action="store_true", help="go on with an interrupted run")
            command.add_argument("--tensorboard", type=Path, metavar="DIR", help="also write curves there")
    _add_compare(commands.add_parser("compare", help="train several fusions on the same frozen encoders"))
    add_record(commands.add_parser("record", help="record an expert who drives CarRacing, as a manifest"))
    add_drive(commands.add_parser("drive", help="drive CarRacing by a service, and say how it went"))
    command = commands.add_parser("evaluate", help="figures of a checkpoint on a manifest, per modality subset")
    command.add_argument("checkpoint", type=Path, help="checkpoints/<name>/<version>")
    command.add_argument("manifest", type=Path)
    command.add_argument(
        "--split", help="only the rows of this split (carved as in training where the manifest has none)"
    )
    command.add_argument("--json", type=Path, help="also write the figures here")
    command.add_argument(
        "--index-recall", action="store_true",
        help="also measure what an approximate index finds of the nearest, as a large gallery has (needs faiss)",
    )  # fmt: skip
    command.add_argument(
        "--report", type=Path, metavar="DIR", help="also write REPORT.md there, with plots and pictures"
    )
    return parser


def _add_start(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--start-from", type=Path, metavar="VERSION", help="a version's folder, whose encoders are the start"
    )


def _add_compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", type=Path, help="a TOML file; its encoders are trained once")
    command.add_argument("--data", type=Path, help="the manifest; overrides the recipe's")
    _add_start(command)
    command.add_argument("--fusion", default="all", help="names by commas, or all")
    command.add_argument("--seeds", type=int, default=3, help="how often each is trained")
    command.add_argument(
        "--with", dest="others", type=Path, action="append", default=[], metavar="RECIPE",
        help="also train this recipe whole, on the same rows; may be given several times",
    )  # fmt: skip
    command.add_argument("--out", type=Path, default=Path("runs/comparison"), help="where the table is written")
    command.add_argument("--work", type=Path, default=Path("runs"), help="caches and states")


if __name__ == "__main__":
    sys.exit(main())
