"""Progress on a terminal: one bar for the work at hand, and lines that stay. On stderr, so stdout can be piped."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TerminalProgress:
    """A `training.optimisation.loop.Progress`, by rich; where stderr is no terminal, only the lines appear."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, note="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, name: str, total: int) -> None:
        """A piece of work of `total` units begins."""
        self._bar.reset(self._task, description=name, total=total, note="", visible=True)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Some units are done."""
        self._bar.update(self._task, advance=units, note=note)

    def log(self, line: str) -> None:
        """Keep a line on the screen."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


class SilentProgress:
    """Shows nothing: another process of the same run does."""

    def start(self, name: str, total: int) -> None:
        """See `training.optimisation.loop.Progress`."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """See `training.optimisation.loop.Progress`."""

    def log(self, line: str) -> None:
        """See `training.optimisation.loop.Progress`."""
