"""Texts as numbers and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from models.drawing import allowed
from models.preprocess.text import UNKNOWN as UNKNOWN_TOKEN
from models.streamed_text import StreamedText
from models.subwords import UNKNOWN, Subwords, spelt
from training.data.tokenizer import train_tokenizer

TEXTS = ("a man's red t-shirt, size 10", "two dogs (brown) run & play.", "the man plays", "Nike Men's Shoe 42")
TOKENIZER = train_tokenizer(TEXTS * 3, 120)


def subwords(capitals: str = "none") -> Subwords:
    return Subwords(TOKENIZER, range(2, TOKENIZER.get_vocab_size()), capitals)  # type: ignore[arg-type]


def test_a_text_comes_back_with_spaces_where_they_belong() -> None:
    numbers = subwords().spell(TEXTS)
    assert [spelt(subwords(), own) for own in numbers] == [
        "a man's red t-shirt, size 10",
        "two dogs (brown) run & play.",
        "the man plays",
        "nike men's shoe 42",
    ]


def test_capitals_begin_words_or_the_text() -> None:
    (numbers,) = subwords().spell(["nike men's t-shirt"])
    assert spelt(subwords("words"), numbers) == "Nike Men's T-shirt"
    assert spelt(subwords("sentence"), numbers) == "Nike men's t-shirt"


def test_wordpieces_that_continue_a_word_cling_to_it() -> None:
    vocabulary = {"[UNK]": 0, "play": 1, "##ing": 2, "dogs": 3, ".": 4}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN_TOKEN))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    head = Subwords(tokenizer, (1, 2, 3, 4))
    (numbers,) = head.spell(["dogs playing."])
    assert spelt(head, numbers) == "dogs playing."
    assert head.spell(["cats"]) == [[UNKNOWN]]


def test_a_long_text_is_not_cut_though_the_tokenizer_cuts_for_its_encoder() -> None:
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    tokenizer.enable_truncation(3)
    assert len(Subwords(tokenizer, range(2, 100)).spell(["man " * 20])[0]) >= 20


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_can_be_spelt(text: str) -> None:
    assert all(0 < number < len(subwords()) for number in subwords().spell([text])[0])


def test_what_would_repeat_a_run_is_not_allowed() -> None:
    log_probs = np.zeros(10, dtype=np.float32)
    found = allowed(log_probs, [4, 5, 6, 4, 5], 3)
    # No beginning, no unknown, and not 6 after 4, 5.
    assert np.flatnonzero(np.isneginf(found)).tolist() == [0, 2, 6]
    assert np.flatnonzero(np.isneginf(allowed(log_probs, [4, 5], 0))).tolist() == [0, 2]
    assert np.flatnonzero(np.isneginf(allowed(log_probs, [4, 5], 1))).tolist() == [0, 2, 4, 5]


def test_nothing_is_given_out_that_a_stop_string_may_take_back() -> None:
    text = StreamedText("", ("end",))
    given_out = []
    for letters in ("the", " e", "n", "try", " end", " more"):
        text.add(letters)
        given_out.append(text.fresh(is_last=False))
        if text.is_stopped:
            break
    assert given_out == ["th", "e ", "", "entry", " "]
    assert text.text == "the entry "
