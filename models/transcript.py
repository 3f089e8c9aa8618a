"""What was said in a recording: the text, its words with their times, and what else it may have been."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its place in the recording, in seconds from its start, and how sure it is, 0 to 1."""

    text: str
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another reading of the whole recording, and how probable it is beside the others, 0 to 1."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The best reading; of an empty recording, an empty text.

    alternatives: the n best, the best first, where several were asked for; else empty.
    """

    text: str = ""
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How frames become a text. `num_beams` 1 takes the best token of each frame (greedy)."""

    num_beams: int = 1
    num_alternatives: int = 0


GREEDY = Decoding()
