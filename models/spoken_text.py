"""Texts as they are spoken, and the tokens that they are spelt with. Knows nothing of sound."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from models.config import WORD_START

_NOT_SPOKEN = re.compile(r"[^\w'\s]|_")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\uff07": "'"})


def normalise_transcript(text: str) -> str:
    """What of a text is heard: words in lower case, apostrophes within them, one space between.

    "It's  Nine-thirty!" is "it's nine thirty". Unicode's NFKC and case folding.
    """
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    words = (word.strip("'") for word in _NOT_SPOKEN.sub(" ", folded).split())
    return " ".join(word for word in words if word)


def marked(text: str) -> str:
    """A normalised text with a mark before each word, and no spaces."""
    return "".join(WORD_START + word for word in text.split())


def encode_transcript(text: str, tokens: Sequence[str]) -> list[int]:
    """The numbers of the tokens that spell a text, the longest that fits each time.

    Where the mark is always a token by itself, as among characters, none stands before the first word.

    Args:
        text: any; what is not spoken is left out.
        tokens: as `CtcHead.tokens`; number 0 is the blank.

    Raises:
        ValueError: naming what no token spells.
    """
    numbers = {token: number for number, token in enumerate(tokens) if token}
    rest = marked(normalise_transcript(text))
    if WORD_START in numbers and not any(len(token) > 1 and token.startswith(WORD_START) for token in numbers):
        rest = rest.removeprefix(WORD_START)
    longest = max(map(len, numbers), default=0)
    found: list[int] = []
    while rest:
        token = next((rest[:size] for size in range(longest, 0, -1) if rest[:size] in numbers), None)
        if token is None:
            word = rest.removeprefix(WORD_START).partition(WORD_START)[0]
            raise ValueError(f"no token spells {word[:40]!r}")
        found.append(numbers[token])
        rest = rest[len(token) :]
    return found


def decode_tokens(tokens: Iterable[str]) -> str:
    """The text that tokens spell."""
    return " ".join("".join(tokens).replace(WORD_START, " ").split())
