"""What `python -m training record` and `drive` may be told. Imports no simulator: --help needs none."""

import argparse
from pathlib import Path

from training.driving.faults import FAULTS


def add_record(command: argparse.ArgumentParser) -> None:
    """Of `record`."""
    command.add_argument(
        "--out", type=Path, required=True, help="the folder to record into; tracks there are kept"
    )
    command.add_argument("--tracks", type=int, default=40, help="how many")
    command.add_argument("--seed", type=int, default=0, help="of the first track; the others follow")
    command.add_argument("--name", default="expert", help="of this round: tracks are <name>-<seed>")
    command.add_argument("--every", type=int, default=2, help="a row for every so many decisions (25 a second)")
    command.add_argument(
        "--others", type=int, default=2, help="rows beside it, of the same moment under other commands"
    )
    command.add_argument(
        "--go-share", type=float, default=0.5, help="of the tracks, that are driven under go alone"
    )
    command.add_argument(
        "--voices", type=Path, metavar="DIR", help="recordings of the commands, <word>/<speaker>_nohash_<n>.wav"
    )
    command.add_argument("--fold", type=int, default=0, help="which fifth of the speakers is kept for the test")
    command.add_argument(
        "--policy", metavar="URL", help="a service that drives while the expert looks on (DAgger); else the expert"
    )
    _add_service(command)


def add_drive(command: argparse.ArgumentParser) -> None:
    """Of `drive`."""
    command.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    _add_service(command)
    command.add_argument("--tracks", type=int, default=5, help="how many")
    command.add_argument(
        "--seed", type=int, default=100_000, help="of the first track; from 100000 on nothing is ever recorded"
    )
    command.add_argument("--commands", action="store_true", help="give commands; else go alone")
    command.add_argument(
        "--voices", type=Path, metavar="DIR", help="say the commands by recordings of speakers kept for the test"
    )
    command.add_argument("--fold", type=int, default=0, help="which fifth of the speakers that is")
    command.add_argument(
        "--without", default="", metavar="A,B", help="what is not sent: image, words, sensors, or several of them"
    )
    command.add_argument("--fault", choices=FAULTS, help="what breaks")
    command.add_argument("--from-tick", type=int, default=0, help="from when on; a second has 50")
    command.add_argument(
        "--no-fallback", action="store_true", help="do not brake where answers are not to be trusted"
    )
    command.add_argument("--post", action="store_true", help="POST /predict, even where there is a WebSocket")
    command.add_argument("--films", type=int, default=1, help="of so many tracks a film and a map are made")
    command.add_argument("--out", type=Path, default=Path("runs/drive"), help="where drive.json and pictures go")


def _add_service(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="driving", help="of the service")
    command.add_argument("--key-file", type=Path, metavar="FILE", help="with the API key that the service wants")
