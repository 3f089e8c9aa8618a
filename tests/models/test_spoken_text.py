import pytest

from models.config import WORD_START
from models.spoken_text import decode_tokens, encode_transcript, normalise_transcript

CHARACTERS = ("", WORD_START, "a", "b", "'")
WORDS = ("", f"{WORD_START}zero", f"{WORD_START}one", f"{WORD_START}o")
SUBWORDS = ("", WORD_START, "a", "b", f"{WORD_START}a", "ab")


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("It's  Nine-thirty!", "it's nine thirty"),
        ("it\u2019s", "it's"),
        ("'quoted'", "quoted"),
        ("STRASSE straße", "strasse strasse"),
        ("ﬁve\t(5)", "five 5"),
        ("  ... ", ""),
        ("snake_case", "snake case"),
        ("你好", "你好"),
    ],
)
def test_only_what_is_heard_stays(text: str, heard: str) -> None:
    assert normalise_transcript(text) == heard
    assert normalise_transcript(heard) == heard


@pytest.mark.parametrize(
    ("text", "tokens", "numbers"),
    [
        ("ab ba", CHARACTERS, [2, 3, 1, 3, 2]),
        ("A, b!", CHARACTERS, [2, 1, 3]),
        ("", CHARACTERS, []),
        ("zero one zero", WORDS, [1, 2, 1]),
        ("o one", WORDS, [3, 2]),
        ("aab", SUBWORDS[:1] + SUBWORDS[2:], [3, 4]),
        ("ab a", SUBWORDS, [4, 3, 4]),
        ("b ab", SUBWORDS, [1, 3, 4, 3]),
    ],
)
def test_a_text_is_spelt_with_the_longest_tokens(text: str, tokens: tuple[str, ...], numbers: list[int]) -> None:
    assert encode_transcript(text, tokens) == numbers
    assert decode_tokens(tokens[number] for number in numbers) == normalise_transcript(text)


def test_what_no_token_spells_is_named() -> None:
    with pytest.raises(ValueError, match="no token spells 'two'"):
        encode_transcript("one two", WORDS)
