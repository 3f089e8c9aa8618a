"""Texts that are written side by side: one joins between two steps, and leaves when it ends.

Knows an engine and what each text does with a step; knows no HTTP and no threads.

# R lines of all texts, k lines of a text, V subwords"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.batch import Example
from models.caption import Caption, Writing
from models.engine import Encoded, Engine, Floats, Texts
from models.lines import Beams, Line, Move, OnText, Plan
from models.subwords import START, Subwords


@dataclass(slots=True, eq=False)
class Page:
    """One text: what is written on it, its prompt, how much of that was read, and how many lines go on.

    encoded: its item, of one row, until it is looked at; None where that is still to be encoded.
    """

    example: Example
    text: Line | Beams
    given: tuple[int, ...]
    encoded: Encoded | None = None
    read: int = 1
    num_lines: int = 1

    def advance(self, log_probs_kV: Floats) -> Move | None:
        """The next subword of each line, the prompt's first; None where the text has ended."""
        if self.read < len(self.given):
            self.read += 1
            return Move([self.given[self.read - 1]], [0])
        return self.text.advance(log_probs_kV)


class Writer:
    """Of one thread. After an exception nobody knows what state it is in, and it is to be thrown away."""

    def __init__(
        self,
        engine: Engine,
        subwords: Subwords,
        *,
        plan: Callable[[Example, Writing, str, OnText | None], Plan],
        encode: Callable[[Sequence[Example]], Encoded],
    ) -> None:
        """Begin without texts.

        Args:
            engine: computes.
            subwords: what can be written.
            plan: checks what is wanted, and says how it is written.
            encode: items to what is looked at.
        """
        self._engine, self._subwords = engine, subwords
        self._plan, self._encode = plan, encode
        self._new: list[Page] = []
        self._live: list[Page] = []
        self._held: Texts | None = None
        self._numbers: list[int] = []

    def __len__(self) -> int:
        """Texts that have not ended."""
        return len(self._live) + len(self._new)

    def add(
        self,
        example: Example,
        writing: Writing,
        prompt: str = "",
        on_text: OnText | None = None,
        encoded: Encoded | None = None,
    ) -> Page:
        """Let a text join at the next step; nothing is computed yet.

        Args:
            example: what it is about.
            writing: how it is written.
            prompt: what it goes on from.
            on_text: see `Captioner.caption`.
            encoded: the item, of one row, where somebody has encoded it already.

        Raises:
            InputError: it cannot be written so.
        """
        plan = self._plan(example, writing, prompt, on_text)
        text = (Line if writing.num_beams == 1 else Beams)(self._subwords, plan)
        self._new.append(Page(example, text, (START, *plan.numbers), encoded))
        return self._new[-1]

    def drop(self, page: Page) -> None:
        """Let a text leave that nobody waits for."""
        if page in self._new:
            self._new.remove(page)
        elif page in self._live and self._held is not None:
            start = sum(other.num_lines for other in self._live[: self._live.index(page)])
            gone = range(start, start + page.num_lines)
            kept = [line for line in range(len(self._numbers)) if line not in gone]
            self._live.remove(page)
            self._numbers = [self._numbers[line] for line in kept]
            self._held = self._held.take(np.array(kept)) if kept else None

    def step(self, encoded: Encoded | None = None) -> list[tuple[Page, Caption]]:
        """Write one subword more of every text, and the first of those that joined; gives the texts that ended.

        Args:
            encoded: what joined without that since the last step, in order, where somebody has encoded it.
        """
        if self._new:
            self._join(encoded)
        if self._held is None:
            return []
        ids_R1 = np.array(self._numbers, dtype=np.int64)[:, None]
        log_probs_RV, self._held = self._engine.write(self._held, ids_R1)
        return self._advance(log_probs_RV, self._held)

    def _join(self, encoded: Encoded | None) -> None:
        """Look at what joins. Prompts are read a subword a step with all others: own steps would take more."""
        new, self._new = self._new, []
        seen, unseen = (
            [page for page in new if page.encoded is not None],
            [page for page in new if page.encoded is None],
        )
        parts = [page.encoded for page in seen if page.encoded is not None]
        if unseen:
            parts.append(self._encode([page.example for page in unseen]) if encoded is None else encoded)
        for part in parts:
            fresh = self._engine.begin(part)
            self._held = fresh if self._held is None else self._held.join(fresh)
        for page in (*seen, *unseen):
            page.encoded = None  # which is long, and not looked at again
            self._live.append(page)
            self._numbers.append(page.given[0])

    def _advance(self, log_probs_RV: Floats, held: Texts) -> list[tuple[Page, Caption]]:
        start = 0
        numbers: list[int] = []
        lines: list[int] = []
        live: list[Page] = []
        ended: list[tuple[Page, Caption]] = []
        for page in self._live:
            stop = start + page.num_lines
            move = page.advance(log_probs_RV[start:stop])
            if move is None:
                ended.append((page, page.text.caption()))
            else:
                numbers += move.numbers
                lines += [start + line for line in move.lines]
                page.num_lines = len(move.numbers)
                live.append(page)
            start = stop
        self._live, self._numbers = live, numbers
        if not live:
            self._held = None
        elif lines != list(range(start)):
            self._held = held.take(np.array(lines))
        return ended
