"""What every command begins with: the pairs, the model in process, the right answers, how to start the service."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.serving.inprocess import Model
from benchmarks.serving.load import Workload
from benchmarks.serving.requests import ROOT, Pair, Request, load_pairs, multipart
from benchmarks.serving.servers import Server, free_port, service_command


@dataclass(frozen=True)
class Bench:
    """The material of one run.

    flags: handed on to the service that is measured.
    """

    pairs: Sequence[Pair]
    flags: Sequence[str] = ()
    checkpoints: Path = ROOT / "checkpoints"

    @cached_property
    def model(self) -> Model:
        """The newest version of the model, in this process."""
        return Model(self.checkpoints / "fashion" / str(self.version))

    @cached_property
    def version(self) -> int:
        """The newest version there is, which is also what the service serves."""
        return max(int(path.name) for path in (self.checkpoints / "fashion").iterdir() if path.name.isdecimal())

    @cached_property
    def expected(self) -> list[dict[str, object]]:
        """The right answer to each pair."""
        return [self.model.expected(pair) for pair in self.pairs]

    def good(self, headers: Mapping[str, str] | None = None) -> list[Request]:
        """A request for each pair, with its right answer."""
        return [
            Request(data=multipart(pair, headers=headers), expected=expected)
            for pair, expected in zip(self.pairs, self.expected, strict=True)
        ]

    @cached_property
    def workload(self) -> Workload:
        """The good requests, for the load generator."""
        return Workload(self.good())

    @property
    def probe(self) -> bytes:
        """A request that asks whether the service is ready."""
        return multipart(self.pairs[0])

    def serve(self, checkpoints: Path | None = None, port: int | None = None) -> Server:
        """Start the service; raises as `Server` does."""
        port = port or free_port()
        return Server(service_command(port, checkpoints or self.checkpoints, self.flags), port, self.probe)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command has. What it does not know goes to the service: --num-workers 2."""
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEG files; default: the shipped gallery's thumbnails"
    )
    parser.add_argument("--count", type=int, default=256, help="how many of them")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/")


def make_bench(options: argparse.Namespace, flags: Sequence[str]) -> Bench:
    """The material for these options."""
    return Bench(load_pairs(options.images, options.count), tuple(flags))
