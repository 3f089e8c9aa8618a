"""Figures of written texts, with numbers that can be checked by hand."""

import math

import pytest

from training.measures.writing import cider_of_each, words_of, writing_figures

DOG = ("A dog runs.", "the dog is running")


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words_of("A man\u2019s T-shirt, (RED).") == ["a", "man's", "t", "shirt", "red"]


def test_what_a_person_wrote_is_perfect() -> None:
    figures = writing_figures([DOG, ("one man sits here now",)], ["the dog is running", "One man sits here now ."])
    assert figures["bleu_1"] == pytest.approx(1)
    assert figures["bleu_4"] == pytest.approx(1)
    assert figures["rouge_l"] == pytest.approx(1)
    assert figures["rows"] == 2
    assert figures["different"] == 1


def test_bleu_counts_words_that_are_there_and_punishes_short_texts() -> None:
    figures = writing_figures([("a dog runs on grass",)], ["a dog"])
    assert figures["bleu_1"] == pytest.approx(math.exp(1 - 5 / 2), rel=1e-4)


def test_rare_words_weigh_more_in_cider() -> None:
    references = [("a dog",), ("a cat",), ("a man",)]
    common, rare = cider_of_each(references, ["a", "cat", "x"])[:2]
    assert rare > common
    assert cider_of_each(references, ["a", "cat", "x"])[2] == 0


def test_texts_that_are_all_the_same_are_told_of() -> None:
    figures = writing_figures([DOG] * 4, ["a dog"] * 4)
    assert figures["different"] == pytest.approx(1 / 4)
    assert figures["distinct_1"] == pytest.approx(2 / 8)
    assert figures["distinct_3"] == 0
    assert figures["words"] == 2


def test_items_that_nobody_wrote_about_do_not_count() -> None:
    assert writing_figures([DOG, ()], ["a dog runs", "x"])["rows"] == 1
    assert writing_figures([()], ["x"]) == {}
