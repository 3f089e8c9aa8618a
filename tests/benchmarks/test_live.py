"""What the benchmark of live streams calls late."""

from benchmarks.live import aligned


def test_a_missed_word_makes_none_behind_it_late() -> None:
    assert aligned(["one", "two", "three"], ["one", "three"]) == {0: 0, 2: 1}


def test_a_word_too_many_and_a_wrong_one_keep_the_others_places() -> None:
    assert aligned(["one", "two", "three"], ["oh", "one", "six", "three"]) == {0: 1, 1: 2, 2: 3}
    assert aligned(["one"], []) == {}
