from collections.abc import Iterator

from retrieval.filter import Field
from retrieval.gallery import Match, Query
from retrieval.item import Item
from retrieval.selection import select

RANKED = [
    Match(Item(id="a", labels={"colour": "Red"}), 0.9),
    Match(Item(id="b", labels={"colour": "Red"}), 0.8),
    Match(Item(id="c"), 0.8),
    Match(Item(id="d", labels={"colour": "Blue"}), 0.7),
    Match(Item(id="e"), 0.6),
]
COLOUR = Field("labels", "colour")


def ids(query: Query) -> str:
    return "".join(match.item.id for match in select(RANKED, query))


def test_the_best_come_first_and_no_more_than_wanted() -> None:
    assert ids(Query(top_k=3)) == "abc"
    assert ids(Query(top_k=9)) == "abcde"


def test_what_is_below_the_least_score_is_left_out() -> None:
    assert ids(Query(min_score=0.8)) == "abc"


def test_of_a_group_only_the_best_is_shown_and_items_without_a_value_are_alone() -> None:
    assert ids(Query(group_by=COLOUR)) == "acde"


def test_a_page_begins_behind_the_last_match_of_the_one_before() -> None:
    assert ids(Query(after=(0.8, "b"))) == "cde"
    assert ids(Query(after=(0.8, "b"), top_k=1)) == "c"
    assert ids(Query(after=(0.75, "x"))) == "de"  # an item that is gone is a place all the same


def test_a_group_that_an_earlier_page_showed_is_not_shown_again() -> None:
    assert ids(Query(group_by=COLOUR, after=(0.9, "a"))) == "cde"


def test_no_more_is_ranked_than_is_needed() -> None:
    def ranked() -> Iterator[Match]:
        yield RANKED[0]
        raise AssertionError("read on")

    assert len(select(ranked(), Query(top_k=1))) == 1
