"""The filter language, by hand and against a brute-force reading of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filter import predicate
from retrieval.filter_parsing import MAX_CONDITIONS, MAX_DEPTH, parse_filter
from retrieval.item import Item

SHIRT = Item(
    id="1",
    labels={"colour": "Red", "tags": ["warm", "loud"]},
    metadata={"year": 2015, "sale": True, "shop": {"city": "Ulm"}, "a.b": 1, "gone": None},
)


@pytest.mark.parametrize(
    ("filter_", "passes"),
    [
        ({}, True),
        ({"labels.colour": "Red"}, True),
        ({"labels.colour": "red"}, False),
        ({"labels.colour": "Red", "metadata.year": 2016}, False),
        ({"labels.tags": "loud"}, True),
        ({"labels.tags": ["warm", "loud"]}, True),
        ({"labels.colour": {"in": ["Blue", "Red"]}}, True),
        ({"labels.colour": {"in": []}}, False),
        ({"labels.colour": {"ne": "Red"}}, False),
        ({"labels.none": {"ne": "Red"}}, True),
        ({"labels.none": {"exists": False}}, True),
        ({"metadata.gone": {"exists": True}}, False),
        ({"metadata.gone": None}, True),
        ({"metadata.year": {"gte": 2015, "lt": 2016}}, True),
        ({"metadata.year": {"gt": 2015}}, False),
        ({"metadata.year": {"lte": "2015"}}, False),
        ({"metadata.sale": True}, True),
        ({"metadata.sale": 1}, False),
        ({"metadata.sale": {"gte": 1}}, False),
        ({"metadata.shop.city": "Ulm"}, True),
        ({"metadata.a.b": 1}, True),
        ({"metadata.year.month": 1}, False),
        ({"labels.tags": {"gte": "m"}}, True),
        ({"and": [{"labels.colour": "Red"}, {"metadata.year": 2015}]}, True),
        ({"and": []}, True),
        ({"or": []}, False),
        ({"or": [{"labels.colour": "Blue"}, {"metadata.year": 2015}]}, True),
        ({"not": {"labels.colour": "Red"}}, False),
    ],
)
def test_a_filter_means_what_the_contract_says(filter_: dict[str, Any], passes: bool) -> None:
    assert predicate(parse_filter(filter_))(SHIRT) is passes


@pytest.mark.parametrize(
    ("filter_", "says"),
    [
        ([], "a list where an object is expected"),
        ("Red", "'Red' where an object"),
        ({"colour": "Red"}, "labels.<name>"),
        ({"labels": "Red"}, "labels.<name>"),
        ({"labels.": "Red"}, "labels.<name>"),
        ({"labels.colour": {"equals": "Red"}}, "is no operator"),
        ({"labels.colour": {"gtee": 1}}, "Did you mean 'gte'?"),
        ({"labels.colour": {}}, "empty condition"),
        ({"labels.colour": {"in": "Red"}}, "takes a list"),
        ({"labels.colour": {"exists": 1}}, "true or false"),
        ({"labels.colour": {"gte": None}}, "number or a string"),
        ({"labels.colour": {"gte": True}}, "number or a string"),
        ({"labels.colour": {"ne": {}}}, "takes a value"),
        ({"or": {"labels.colour": "Red"}}, "list of filters"),
        ({"not": []}, "a list where an object"),
    ],
)
def test_a_bad_filter_names_fault_and_remedy(filter_: object, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_filter(filter_)
    assert caught.value.field == "filter"
    assert says in caught.value.detail


def test_nesting_and_size_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    parse_filter(deep)
    with pytest.raises(QueryError, match="nested deeper"):
        parse_filter({"not": deep})
    with pytest.raises(QueryError, match="conditions"):
        parse_filter({"or": [{"labels.x": "y"}] * (MAX_CONDITIONS + 1)})


values = st.one_of(st.sampled_from(["a", "b", "c"]), st.integers(0, 3), st.booleans())
items = st.builds(
    Item,
    id=st.just("1"),
    labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from("abc") | st.lists(st.sampled_from("abc"))),
    metadata=st.dictionaries(st.sampled_from("xy"), values | st.lists(values)),
)
fields = st.sampled_from(["labels.x", "labels.y", "metadata.x", "metadata.y"])
orders = st.sampled_from(["gte", "gt", "lte", "lt"])
conditions = st.one_of(
    values,
    st.builds(lambda value: {"ne": value}, values),
    st.builds(lambda value: {"in": value}, st.lists(values, max_size=3)),
    st.builds(lambda value: {"exists": value}, st.booleans()),
    st.builds(lambda name, value: {name: value}, orders, st.sampled_from("abc") | st.integers(0, 3)),
)
leaves = st.dictionaries(fields, conditions, max_size=2)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda name, parts: {name: parts}, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)


def brute_force(filter_: dict[str, Any], item: Item) -> bool:
    """Read by interpretation, value by value, where the parser builds closures."""
    return all(_member(name, operand, item) for name, operand in filter_.items())


def _member(name: str, operand: Any, item: Item) -> bool:
    if name == "not":
        return not brute_force(operand, item)
    if name in ("and", "or"):
        return (all if name == "and" else any)([brute_force(part, item) for part in operand])
    root, key = name.split(".")
    value = (item.labels if root == "labels" else item.metadata).get(key)
    tests = operand if isinstance(operand, dict) else {"eq": operand}
    parts = value if isinstance(value, list) else [value]
    return all(_holds(operator, parts, value, wanted) for operator, wanted in tests.items())


def _holds(operator: str, parts: list[Any], value: Any, wanted: Any) -> bool:
    def same(one: Any, other: Any) -> bool:
        return json.dumps(one) == json.dumps(other)

    match operator:
        case "eq":
            return any(same(part, wanted) for part in parts)
        case "ne":
            return not any(same(part, wanted) for part in parts)
        case "in":
            return any(same(part, one) for part in parts for one in wanted)
        case "exists":
            return (value is not None) == wanted
    like = [part for part in parts if type(part) is type(wanted)]
    return any(
        {"gte": part >= wanted, "gt": part > wanted, "lte": part <= wanted, "lt": part < wanted}[operator]
        for part in like
    )


@given(filters, items)
def test_a_filter_equals_brute_force(filter_: dict[str, Any], item: Item) -> None:
    assert predicate(parse_filter(filter_))(item) == brute_force(filter_, item)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | fields, inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_arbitrary_json_raises_only_query_errors(value: object) -> None:
    try:
        passes = predicate(parse_filter(value))
    except QueryError:
        return
    assert passes(SHIRT) in (True, False)
