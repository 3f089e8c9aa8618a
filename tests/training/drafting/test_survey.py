import math

import pytest

from training.drafting.survey import Column, commonest, gaps_seen, look_at, shorten, spread


def column(*cells: object) -> Column:
    return look_at([(at, {"x": cell}) for at, cell in enumerate(cells)])["x"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("1", "2.5", "-3e2"), "number"),
        ((1, 2.5), "number"),
        (("1", "NA", ""), "number"),
        (("1", "2a"), "string"),
        (("inf", "1"), "string"),
        (("1_000",), "string"),
        ((True, False), "string"),
        ((["a", "b"], ["c"]), "list"),
        (({"a": 1},), "other"),
    ],
)
def test_the_kind_is_read_from_the_cells(cells: tuple[object, ...], kind: str) -> None:
    assert column(*cells).kind == kind


def test_cells_without_a_value_do_not_count() -> None:
    found = column("a", "", "  ", None, math.nan, "nan", "NULL", [], [None, ""], "NA")
    assert list(found.cells) == ["a", "NA"]
    assert found.num_rows == 10


def test_a_column_that_some_rows_lack_is_a_column() -> None:
    assert list(look_at([(1, {"a": 1}), (2, {"b": 2})])) == ["a", "b"]


def test_only_small_whole_numbers_may_be_labels() -> None:
    assert column("0", "1", "5").is_integral
    assert not column("2011", "2012").is_integral
    assert not column("0.5", "1").is_integral


def test_an_ideograph_is_a_word() -> None:
    assert column("青いシャツ").prose == 1.0
    assert column("青いシャツ").mean_words == 5.0
    assert column("shirt").prose == 0.0


def test_markers_are_told_by_column() -> None:
    rows = [(1, {"a": "NA", "b": "x"}), (2, {"a": " NA", "b": "NA"})]
    assert gaps_seen(rows, ["NA", "?"]) == {"NA": {"a": 2, "b": 1}}


def test_a_remark_is_one_line() -> None:
    assert shorten("two\nlines\x00") == "two lines "
    assert shorten("a" * 50, 10) == "a" * 9 + "…"
    assert commonest({"rare": 1, "often": 9, "third": 0, "last": 0}) == "often, rare, third, …"


def test_a_sample_reaches_over_all_rows() -> None:
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread("ab", 3) == ["a", "b"]
