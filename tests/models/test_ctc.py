"""Frames to text, by hand and by brute force.

# T frames, V tokens"""

import itertools
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import WORD_START
from models.ctc import CtcDecoder
from models.errors import ConfigError
from models.transcript import Decoding, Transcript

CHARACTERS = ("", WORD_START, "a", "b")
WORDS = ("", f"{WORD_START}a", f"{WORD_START}b")


def frames(*tokens: int, share: float = 0.7, num_tokens: int = 4) -> np.ndarray:
    """Each frame gives its token `share`, and the others an equal part of the rest."""
    shares_TV = np.full((len(tokens), num_tokens), (1 - share) / (num_tokens - 1), dtype=np.float32)
    shares_TV[np.arange(len(tokens)), tokens] = share
    return np.log(shares_TV)


def test_equal_neighbours_are_one_and_blanks_part_them() -> None:
    found = CtcDecoder(CHARACTERS, 0.02).decode(frames(2, 2, 0, 2, 1, 3))
    assert found.text == "aa b"
    assert [(word.text, word.start_seconds, word.end_seconds) for word in found.words] == [
        ("aa", 0.0, 0.08),
        ("b", 0.1, 0.12),
    ]


def test_a_confidence_is_the_geometric_mean_of_the_tokens_best_frames() -> None:
    log_probs_TV = np.concatenate([frames(1, share=0.5, num_tokens=3), frames(0, 2, share=0.8, num_tokens=3)])
    found = CtcDecoder(WORDS, 0.04).decode(log_probs_TV)
    assert [(word.text, round(word.confidence, 6)) for word in found.words] == [("a", 0.5), ("b", 0.8)]
    assert found.confidence == pytest.approx((0.5 * 0.8) ** 0.5)


def test_blanks_alone_are_an_empty_text_as_sure_as_they_are() -> None:
    found = CtcDecoder(CHARACTERS, 0.02).decode(frames(0, 0))
    assert found == Transcript("", pytest.approx(0.7))


@pytest.mark.parametrize("num_beams", [1, 8])
def test_no_frames_are_an_empty_transcript(num_beams: int) -> None:
    empty_TV = np.zeros((0, 4), np.float32)
    assert CtcDecoder(CHARACTERS, 0.02).decode(empty_TV, Decoding(num_beams)) == Transcript()


def test_beams_find_the_text_whose_paths_are_likelier_together_than_the_best_path() -> None:
    # Greedy: "" by two blanks of 0.4 each, 0.16. "a": a- -a aa, 0.3 * 0.4 * 2 + 0.09 = 0.33.
    log_probs_TV = np.log(np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]], np.float32))
    log_probs_TV[:, 2] = np.log(0.2999)
    decoder = CtcDecoder(WORDS, 0.02)
    assert decoder.decode(log_probs_TV).text == ""
    found = decoder.decode(log_probs_TV, Decoding(num_beams=16, num_alternatives=2))
    assert found.text == "a"
    assert [one.text for one in found.alternatives] == ["a", "b"]


def test_alternatives_are_distinct_and_their_shares_fall() -> None:
    found = CtcDecoder(CHARACTERS, 0.02).decode(frames(2, 0, 3), Decoding(num_beams=32, num_alternatives=5))
    texts = [one.text for one in found.alternatives]
    shares = [one.confidence for one in found.alternatives]
    assert texts[0] == found.text == "ab"
    assert len(set(texts)) == 5
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1 + 1e-6


ARPA = """\\data\\
ngram 1=5
ngram 2=1

\\1-grams:
-1.0\t<unk>
-1.0\t<s>\t0
-1.0\t</s>
-1.0\t\u2581a\t0
-1.0\t\u2581b\t0

\\2-grams:
-0.01\t\u2581a \u2581b

\\end\\
"""
"""After a, b is nearly certain; everything else is as likely as anything."""


def test_a_language_model_decides_between_what_sounds_alike() -> None:
    log_probs_TV = np.log(np.array([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.08, 0.52, 0.4]], np.float32))
    plain = CtcDecoder(WORDS, 0.02).decode(log_probs_TV, Decoding(num_beams=8))
    model = ARPA.encode()
    told = CtcDecoder(WORDS, 0.02, language_model=model, language_weight=1.0).decode(log_probs_TV, Decoding(8))
    assert (plain.text, told.text) == ("a a", "a b")


def test_a_language_model_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="the language model cannot be read"):
        CtcDecoder(WORDS, 0.02, language_model=b"no model").decode(frames(1, num_tokens=3), Decoding(2))


def best_text(log_probs_TV: np.ndarray) -> tuple[str, float, float]:
    """The likeliest text by all paths, its probability, and that of the next."""
    sums: dict[str, float] = {}
    for path in itertools.product(range(log_probs_TV.shape[1]), repeat=len(log_probs_TV)):
        text = " ".join(WORDS[number].removeprefix(WORD_START) for number, _ in groupby(path) if number)
        chance = float(np.exp(sum(log_probs_TV[place, number] for place, number in enumerate(path))))
        sums[text] = sums.get(text, 0.0) + chance
    first, second = sorted(sums.values(), reverse=True)[:2]
    return max(sums, key=lambda text: sums[text]), first, second


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_with_many_beams_the_likeliest_of_all_texts_is_found(seed: int, length: int) -> None:
    shares_TV = np.random.default_rng(seed).random((length, 3)) ** 2 + 1e-3
    log_probs_TV = np.log(shares_TV / shares_TV.sum(1, keepdims=True)).astype(np.float32)
    text, first, second = best_text(log_probs_TV)
    found = CtcDecoder(WORDS, 0.02).decode(log_probs_TV, Decoding(num_beams=64, num_alternatives=1))
    assert found.text == text or first - second < 1e-4
