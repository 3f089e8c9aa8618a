"""A text that is written about an item: how it is asked for, and what came out. Knows no tokens and no network."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled"]
"""`stop`: the text ended by itself or at a stop string. `length`: no more tokens were allowed. `cancelled`: nobody
wanted the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a text is to be written. What is None is as the checkpoint's head has it.

    max_tokens: subwords at most, those of the prompt not counted.
    num_beams: 1 writes the likeliest token each time (or draws one); more keep so many texts and give the best.
    temperature: 0 draws nothing; above 0 tokens are drawn, the more evenly the higher. Not with beams.
    top_p: draw among the likeliest tokens that together have this probability (Holtzman et al. 2020).
    seed: the same draws again; None never the same.
    stop: the text ends before the first of these strings.
    length_penalty: beams are ranked by log-probability / length ** this; more favours longer texts.
    no_repeat_ngram: no run of so many subwords is written twice; 0 allows it.
    """

    max_tokens: int | None = None
    num_beams: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    length_penalty: float | None = None
    no_repeat_ngram: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What was written.

    text: without the prompt that it continues; after a prompt it begins with the space between the two.
    num_tokens: subwords that were computed for it, the end among them.
    score: mean log-probability of these; 0 of none.
    """

    text: str
    num_tokens: int
    finish_reason: FinishReason
    score: float
