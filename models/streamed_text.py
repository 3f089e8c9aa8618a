"""A text that grows, is watched for stop strings, and is given out as soon as nothing can take it back.

Knows characters; knows no subwords."""

from collections.abc import Sequence


class StreamedText:
    """What is written so far, and how much of it is out."""

    def __init__(self, prompt: str, stop: Sequence[str]) -> None:
        """Begin after `prompt`, which is no part of the text; stop strings are not looked for in it."""
        self.prompt, self._stop = prompt, tuple(part for part in stop if part)
        self.text = ""
        self.is_stopped = False
        self._given = 0

    @property
    def whole(self) -> str:
        """The prompt and the text."""
        return self.prompt + self.text

    def add(self, letters: str) -> None:
        """Go on; a stop string ends the text before it."""
        self.text += letters
        found = [place for part in self._stop if (place := self.text.find(part)) >= 0]
        if found:
            self.text, self.is_stopped = self.text[: min(found)], True

    def fresh(self, *, is_last: bool) -> str:
        """What may be given out and was not yet: all but what could be the beginning of a stop string."""
        end = len(self.text) if is_last or self.is_stopped else len(self.text) - self._held()
        piece = self.text[self._given : max(end, self._given)]
        self._given += len(piece)
        return piece

    def _held(self) -> int:
        """Characters at the end with which a stop string begins."""
        longest = max((len(part) for part in self._stop), default=1) - 1
        for size in range(min(longest, len(self.text)), 0, -1):
            if any(part.startswith(self.text[-size:]) for part in self._stop):
                return size
        return 0
