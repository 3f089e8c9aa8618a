import pytest

from models.config import WORD_START, CtcHead
from models.spoken_text import decode_tokens, encode_transcript
from training.data.tokens import learn_tokens

TEXTS = ("Zero one!", "one zero", "zero's twos")


def test_words_are_those_that_are_said() -> None:
    expected = ("", *(WORD_START + word for word in ("one", "twos", "zero", "zero's")))
    assert learn_tokens(TEXTS, CtcHead(units="words")) == expected


def test_characters_come_with_the_mark_between_words() -> None:
    assert learn_tokens(TEXTS, CtcHead(units="characters")) == ("", WORD_START, "'", *"enorstwz")


def test_subwords_hold_all_characters_and_spell_every_word_of_these() -> None:
    tokens = learn_tokens([*TEXTS * 20, "tow"], CtcHead(units="subwords", num_subwords=24))
    assert len(tokens) <= 25
    assert f"{WORD_START}zero" in tokens
    for text in ("zero one", "noes or"):
        assert decode_tokens(tokens[number] for number in encode_transcript(text, tokens)) == text


@pytest.mark.parametrize("units", ["words", "characters", "subwords"])
def test_what_is_learnt_is_a_head_s_tokens(units: str) -> None:
    head = CtcHead.model_validate({"units": units})
    tokens = learn_tokens(TEXTS, head)
    assert CtcHead.model_validate({"units": units, "tokens": tokens}).tokens == tokens


def test_silence_teaches_no_tokens() -> None:
    with pytest.raises(ValueError, match="no transcript has a word in it"):
        learn_tokens(["", "..."], CtcHead())
