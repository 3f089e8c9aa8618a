"""Between texts and the numbers that a caption is written in: a text's subwords, and a subword's letters.

Knows a tokenizer and the subwords that a head can write; knows no network."""

from collections.abc import Iterable, Sequence
from typing import Literal

from tokenizers import Tokenizer

from models.config import WORD_START

START, END, UNKNOWN = range(3)
"""The head's first numbers, as `models.nets.caption` has them."""

FIRST = 3
"""The number of the head's first token."""

CONTINUES = "##"
"""What a WordPiece inside a word begins with."""

_CLINGS = frozenset(".,!?;:%)]}'-/\u2019")
"""Written without a space before them."""

_HOLDS = frozenset("([{'-/#$\u2019")
"""No space comes after them."""


Capitals = Literal["none", "sentence", "words"]


class Subwords:
    """Spells texts for one head, and reads them."""

    def __init__(self, tokenizer: Tokenizer, tokens: Sequence[int], capitals: Capitals = "none") -> None:
        """Take the checkpoint's tokenizer, the head's tokens by their numbers in it, and where capitals go."""
        # A copy: the tokenizer itself cuts texts to what an encoder takes.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._number = {token: FIRST + place for place, token in enumerate(tokens)}
        self._letters = ["", "", "", *(self._tokenizer.id_to_token(token) or "" for token in tokens)]
        self._capitals = capitals
        # Where words are not marked at their beginning, what continues one is.
        self._marks_continuing = not any(letters.startswith(WORD_START) for letters in self._letters)

    def __len__(self) -> int:
        """How many numbers there are."""
        return len(self._letters)

    def spell(self, texts: Iterable[str]) -> list[list[int]]:
        """The numbers of each text; UNKNOWN for a subword that the head does not write."""
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found = self._tokenizer.encode_batch(clean, add_special_tokens=False)
        return [[self._number.get(token, UNKNOWN) for token in encoding.ids] for encoding in found]

    def letters(self, number: int, before: str) -> str:
        """What a subword adds to a text that ends with `before`: its letters, after a space where one belongs."""
        letters = self._letters[number]
        if self._marks_continuing:
            starts, letters = not letters.startswith(CONTINUES), letters.removeprefix(CONTINUES)
        else:
            starts, letters = letters.startswith(WORD_START), letters.removeprefix(WORD_START)
        if not letters:
            return ""
        space = " " if starts and _is_apart(before, letters[0]) else ""
        begins = not before.strip() or (self._capitals == "words" and (space or before[-1].isspace()))
        if begins and self._capitals != "none":
            letters = letters[0].upper() + letters[1:]
        return space + letters


def spelt(subwords: Subwords, numbers: Iterable[int]) -> str:
    """The whole text of some numbers."""
    text = ""
    for number in numbers:
        text += subwords.letters(number, text)
    return text


def _is_apart(before: str, letter: str) -> bool:
    """Whether a space belongs between a text and a word that begins with `letter`."""
    if not before or before[-1].isspace() or letter in _CLINGS or before[-1] in _HOLDS:
        return False
    # Each digit is a word of its own to the tokenizer.
    return not (letter.isdigit() and before[-1].isdigit())
