import pytest

from training.measures.words import transcript_figures, word_confusions, word_error_rate

SAID = ("zero one two", "Three.", "four five")
HEARD = ("zero one", "tree", "four six five")


def test_rates_count_faults_by_what_was_said() -> None:
    # One left out, one taken for another, one put in; of six words.
    assert word_error_rate(SAID, HEARD) == pytest.approx(3 / 6)
    figures = transcript_figures(SAID, HEARD)
    # " two" (4), "h" (1) and "six " (4), of 12 + 5 + 9 characters.
    assert figures["cer"] == pytest.approx(9 / 26)
    assert (figures["exact"], figures["rows"]) == (0.0, 3)


def test_case_and_punctuation_are_not_heard() -> None:
    assert transcript_figures(["It's nine, OK?"], ["it's  nine ok"])["exact"] == 1.0


def test_confusions_name_what_was_said_and_what_was_heard() -> None:
    assert dict(word_confusions(SAID, HEARD)) == {("two", ""): 1, ("three", "tree"): 1, ("", "six"): 1}


def test_nothing_heard_is_all_wrong() -> None:
    assert word_error_rate(["one two"], [""]) == 1.0
