import numpy as np

from models.transcript import Word
from models.word_times import place_words

HOP = 0.01


def features(*parts: tuple[int, float]) -> np.ndarray:
    """So many features of a level each, in two bands of which one is silent."""
    levels = np.concatenate([np.full(count, level, np.float32) for count, level in parts])
    return np.stack([levels, np.full_like(levels, -1)], axis=1)


def word(text: str, start: float, end: float) -> Word:
    return Word(text, start, end, 0.5)


def times(words: tuple[Word, ...]) -> list[tuple[str, float, float]]:
    return [(one.text, one.start_seconds, one.end_seconds) for one in words]


def test_a_word_reaches_as_far_as_it_is_heard() -> None:
    heard = features((10, -1), (30, 0.8), (20, -1))
    assert times(place_words([word("seven", 0.0, 0.04)], heard, HOP)) == [("seven", 0.1, 0.4)]


def test_words_are_parted_in_the_pause_between_them() -> None:
    heard = features((5, -1), (20, 0.5), (15, -1), (25, 0.9), (5, -1))
    found = place_words([word("one", 0.1, 0.12), word("two", 0.5, 0.52)], heard, HOP)
    assert times(found) == [("one", 0.05, 0.25), ("two", 0.4, 0.65)]


def test_words_without_a_pause_are_parted_where_it_is_softest() -> None:
    heard = features((20, 0.9), (3, 0.4), (20, 0.9))
    found = place_words([word("one", 0.1, 0.12), word("two", 0.3, 0.32)], heard, HOP)
    assert times(found) == [("one", 0.0, 0.21), ("two", 0.21, 0.43)]


def test_noise_is_not_taken_for_a_voice() -> None:
    heard = features((30, 0.0), (20, 0.9), (30, 0.0))
    assert times(place_words([word("one", 0.4, 0.42)], heard, HOP)) == [("one", 0.3, 0.5)]


def test_where_nothing_is_heard_a_word_stays_in_its_place() -> None:
    found = [word("one", 0.1, 0.12)]
    assert place_words(found, features((40, -1)), HOP) == tuple(found)
    assert place_words([], features((40, -1)), HOP) == ()


def test_words_of_neighbouring_frames_do_not_overlap() -> None:
    found = place_words(
        [word("a", 0.1, 0.11), word("b", 0.11, 0.12), word("c", 0.12, 0.13)], features((30, 0.5)), HOP
    )
    bounds = [bound for _, start, end in times(found) for bound in (start, end)]
    assert bounds == sorted(bounds)
