"""A text as it is written: one line by greedy choice or draws, or several at once (beams) of which the best stays.

Knows log-probabilities and letters; knows no network, and no other texts.

# k lines, V subwords"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from models.caption import Caption, FinishReason, Writing
from models.drawing import Floats, allowed, draw
from models.streamed_text import StreamedText
from models.subwords import END, Subwords

OnText = Callable[[str], bool]
"""Told of each new piece of text; false where nobody wants the rest."""


class Move(NamedTuple):
    """What is written next: a number for each line, and which line before each one goes on from."""

    numbers: list[int]
    lines: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a text is written by: a `Writing` of which nothing is left open, and its prompt, spelt."""

    writing: Writing
    max_tokens: int
    length_penalty: float
    no_repeat_ngram: int
    prompt: str
    numbers: tuple[int, ...]
    on_text: OnText | None = None


class Line:
    """One text, greedy or drawn, given out as it grows."""

    def __init__(self, subwords: Subwords, plan: Plan) -> None:
        self._subwords, self._plan = subwords, plan
        self._numbers = list(plan.numbers)
        self._text = StreamedText(plan.prompt, plan.writing.stop)
        self._log_probs: list[float] = []
        self._rng = np.random.default_rng(plan.writing.seed)
        self._reason: FinishReason | None = None

    def advance(self, log_probs_kV: Floats) -> Move | None:
        """Write one more subword by log-probabilities (1, V) of what follows; None where the text has ended."""
        plan = self._plan
        open_V = allowed(log_probs_kV[0], self._numbers, plan.no_repeat_ngram)
        number = draw(open_V, plan.writing.temperature, plan.writing.top_p, self._rng)
        self._log_probs.append(float(log_probs_kV[0, number]))
        if number == END:
            self._reason = "stop"
        else:
            self._numbers.append(number)
            self._text.add(self._subwords.letters(number, self._text.whole))
            if self._text.is_stopped:
                self._reason = "stop"
            elif len(self._log_probs) == plan.max_tokens:
                self._reason = "length"
        piece = self._text.fresh(is_last=self._reason is not None)
        if piece and plan.on_text is not None and not plan.on_text(piece) and self._reason is None:
            self._reason = "cancelled"
        return Move([number], [0]) if self._reason is None else None

    def caption(self) -> Caption:
        """The text, once it has ended."""
        reason = self._reason or "cancelled"
        text = self._text.text
        if reason == "cancelled":  # no more than was given out
            text = text[: len(text) - len(self._text.fresh(is_last=True))]
        score = float(np.mean(self._log_probs)) if self._log_probs else 0.0
        return Caption(text=text, num_tokens=len(self._log_probs), finish_reason=reason, score=score)


@dataclass(frozen=True, slots=True)
class _Beam:
    """A text that goes on, or has ended; `reason` says which."""

    numbers: tuple[int, ...]
    log_prob: float = 0.0
    num_tokens: int = 0
    reason: FinishReason | None = None
    text: str = field(default="", compare=False)

    def rank(self, length_penalty: float) -> float:
        return self.log_prob / float(max(1, self.num_tokens) ** length_penalty)


class Beams:
    """The k likeliest texts at a time. Ends when k have ended; the best by log-probability / length ** penalty."""

    def __init__(self, subwords: Subwords, plan: Plan) -> None:
        self._subwords, self._plan = subwords, plan
        self._live = [_Beam(plan.numbers)]
        self._ended: list[_Beam] = []

    def advance(self, log_probs_kV: Floats) -> Move | None:
        """As `Line.advance`; before the first, there is one line."""
        plan, size = self._plan, self._plan.writing.num_beams
        open_kV = np.stack(
            [
                allowed(own_V, beam.numbers, plan.no_repeat_ngram)
                for own_V, beam in zip(log_probs_kV, self._live, strict=True)
            ]
        )
        totals_kV = open_kV + np.array([[beam.log_prob] for beam in self._live], dtype=np.float32)
        # Twice as many as are kept, for half of them may end here.
        best = _largest(totals_kV.reshape(-1), 2 * size)
        live: list[_Beam] = []
        lines: list[int] = []
        for rank, place in enumerate(best):
            line, number = divmod(int(place), totals_kV.shape[1])
            if not np.isfinite(totals_kV[line, number]) or len(live) == size:
                continue
            beam = self._grown(self._live[line], number, float(log_probs_kV[line, number]))
            if beam.reason is None:
                live.append(beam)
                lines.append(line)
            elif rank < size:
                self._ended.append(beam)
        self._live = live
        if not live or len(self._ended) >= size:
            self._tell()
            return None
        return Move([beam.numbers[-1] for beam in live], lines)

    def _grown(self, beam: _Beam, number: int, log_prob: float) -> _Beam:
        plan, count, reason = self._plan, beam.num_tokens + 1, None
        text, numbers = beam.text, (*beam.numbers, number)
        if number == END:
            reason = "stop"
        else:
            streamed = StreamedText(plan.prompt, plan.writing.stop)
            streamed.text = text
            streamed.add(self._subwords.letters(number, streamed.whole))
            text = streamed.text
            reason = "stop" if streamed.is_stopped else "length" if count == plan.max_tokens else None
        return _Beam(numbers, beam.log_prob + log_prob, count, reason, text)  # type: ignore[arg-type]

    def _tell(self) -> None:
        best = self._best()
        if best.text and self._plan.on_text is not None:
            self._plan.on_text(best.text)

    def _best(self) -> _Beam:
        # Nothing may have ended where everything was forbidden.
        return max(
            self._ended or self._live, key=lambda beam: beam.rank(self._plan.length_penalty), default=_Beam(())
        )

    def caption(self) -> Caption:
        """The best text, once there is one."""
        best = self._best()
        score = best.log_prob / best.num_tokens if best.num_tokens else 0.0
        return Caption(
            text=best.text, num_tokens=best.num_tokens, finish_reason=best.reason or "cancelled", score=score
        )


def _largest(values: Floats, count: int) -> Sequence[int]:
    """Places of the largest, the largest first; of equal ones the first first."""
    count = min(count, len(values))
    some = np.sort(np.argpartition(-values, count - 1)[:count])
    return [int(place) for place in some[np.argsort(-values[some], kind="stable")]]
