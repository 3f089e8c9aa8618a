import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models.preprocess.text import PAD, UNKNOWN
from training.data.tokenizer import train_tokenizer

TEXTS = ["men's t-shirt", "a tart", "art in 2016", "红色 鞋"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 200)


def test_padding_is_zero_and_unknown_is_one(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_to_id(PAD) == 0
    assert tokenizer.token_to_id(UNKNOWN) == 1


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("MEN’S T‑SHIRT", "men's t-shirt"),  # noqa: RUF001
        ("\uff41\uff52\uff54", "art"),  # full width
        ("a\u200btart", "a tart"),
        ("art\u00a0in\t2016", "art in 2016"),
    ],
)
def test_spellings_of_one_text_have_the_same_tokens(tokenizer: Tokenizer, written: str, same: str) -> None:
    assert tokenizer.encode(written).ids == tokenizer.encode(same).ids


def test_a_decomposed_letter_is_the_composed_one() -> None:
    tokenizer = train_tokenizer(["café"] * 3, 100)
    assert tokenizer.encode("cafe\u0301").ids == tokenizer.encode("caf\u00e9").ids


def test_digits_and_ideographs_stand_alone(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("2016").ids) >= 4
    assert tokenizer.encode("红色").ids == tokenizer.encode("红 色").ids


def test_the_start_of_a_word_is_another_subword_than_its_middle(tokenizer: Tokenizer) -> None:
    art, tart = tokenizer.encode("art").ids, tokenizer.encode("tart").ids
    assert art != tart[-len(art) :]


def test_a_vocabulary_is_no_larger_than_asked_and_the_same_each_time() -> None:
    first, second = (train_tokenizer(TEXTS, 40) for _ in range(2))
    assert first.get_vocab_size() <= 40
    assert first.to_str() == second.to_str()


@given(st.text(max_size=60))
def test_any_text_becomes_ids_of_the_vocabulary(text: str) -> None:
    tokenizer = train_tokenizer(TEXTS, 60)
    assert all(0 <= token < tokenizer.get_vocab_size() for token in tokenizer.encode(text).ids)
