"""Whether a wrong answer is seen: what the figures of every benchmark of the service rest on."""

import json
from typing import Any

import pytest

from benchmarks.serving.answers import expectation, fault

EXPECTED = expectation(
    {"colour": {"red": 0.7, "blue": 0.2, "green": 0.1}},
    {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5, "f": 0.498, "g": 0.1},
)


def answer(label: str = "red", score: float = 0.7, **cosines: float) -> bytes:
    matches = cosines or {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
    return json.dumps(
        {
            "classes": {"colour": [{"label": label, "score": score}]},
            "matches": [{"id": item, "score": cosine} for item, cosine in matches.items()],
        }
    ).encode()


def test_the_right_answer_has_no_fault_and_neither_has_one_that_rounds_differently() -> None:
    assert fault(answer(), EXPECTED) is None
    assert fault(answer(score=0.7001), EXPECTED) is None


def test_items_that_tie_may_change_places() -> None:
    assert fault(answer(a=0.9, b=0.8, c=0.7, d=0.6, f=0.498), EXPECTED) is None


WRONG: dict[str, Any] = {
    "another label": answer("blue", 0.2),
    "another score": answer(score=0.6),
    "a far item": answer(a=0.9, b=0.8, c=0.7, d=0.6, g=0.1),
    "an unknown item": answer(a=0.9, b=0.8, c=0.7, d=0.6, z=0.5),
    "a missing item": answer(a=0.9, b=0.8, c=0.7, d=0.6),
    "another head": answer().replace(b"colour", b"shape"),
    "an error": b'{"status": 500}',
    "half an answer": answer()[:50],
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_has_a_fault(body: bytes) -> None:
    assert fault(body, EXPECTED) is not None
