"""What the pipe needs of a model that writes texts."""

from collections.abc import Callable, Sequence
from typing import Protocol

from models.batch import Example
from models.caption import Caption, Writing


class Writer(Protocol):
    """Texts that one thread writes side by side."""

    def add(self, example: Example, writing: Writing, prompt: str, on_text: Callable[[str], bool]) -> object:
        """Let a text join, before the next step; gives its handle. Raises InputError where it cannot be written.

        `on_text` takes each new piece of whole characters, in the thread that steps; where it says False, the text
        ends.
        """

    def step(self) -> Sequence[tuple[object, Caption]]:
        """Write one token of each; those that ended have left."""

    def drop(self, handle: object) -> None:
        """Let a text leave that nobody waits for."""


class Captioner(Protocol):
    """Writes texts for one model; shared by threads."""

    def writer(self) -> Writer:
        """A writer for one thread."""
