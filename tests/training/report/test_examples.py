import numpy as np
import pytest

from models.calibration import Calibration
from models.manifest import Record
from tests.tiny import tiny_checkpoint
from training.measures.outputs import SubsetOutput
from training.report.examples import mistakes, retrieval_queries

CONFIG = tiny_checkpoint().config
EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def embedded(*vectors: tuple[float, float]) -> SubsetOutput:
    return SubsetOutput(np.arange(len(vectors)), {}, np.array(vectors, dtype=np.float32))


def records(*texts: str) -> list[Record]:
    return [Record(row=i, id=str(i), texts=(text,)) for i, text in enumerate(texts)]


def test_a_query_s_matches_are_the_nearest_and_the_right_ones_are_marked() -> None:
    outputs = {"text": embedded(EAST, NORTH, WEST), "image": embedded(NORTH, EAST, WEST)}
    outputs["image+text"] = outputs["text"]
    found = retrieval_queries(outputs, records("a", "b", "c"), num=3)
    first = found["text", "image"][0]
    # Text 0 points east: image 1 is nearest, then image 0, which is its own, then image 2.
    assert [(match.row, match.score, match.right) for match in first.matches] == [
        (1, 1.0, False),
        (0, 0.0, True),
        (2, -1.0, False),
    ]
    assert first.rank == 2
    # Image 0 points north: text 1 is nearest, and text 2 is as near as its own.
    assert [query.rank for query in found["image", "text"]] == [3, 2, 1]


def test_every_row_of_an_equal_text_is_right() -> None:
    outputs = {"text": embedded(EAST, EAST, WEST), "image": embedded(NORTH, EAST, WEST)}
    outputs["image+text"] = outputs["text"]
    first = retrieval_queries(outputs, records("a", "a", "c"), num=3)["text", "image"][0]
    assert [(match.row, match.right) for match in first.matches] == [(1, True), (0, True), (2, False)]
    assert first.rank == 1


def test_queries_are_drawn_blindly_and_are_the_same_each_time_and_each_way() -> None:
    rng = np.random.default_rng(1)
    vectors = [(float(np.cos(a)), float(np.sin(a))) for a in rng.uniform(0, 6, 40)]
    outputs = {name: embedded(*vectors) for name in ("text", "image", "image+text")}
    texts = records(*map(str, range(40)))
    rows = [query.row for query in retrieval_queries(outputs, texts)["text", "image"]]
    assert len(set(rows)) == 6
    assert rows == sorted(np.random.default_rng(0).permutation(40)[:6])
    # Whatever the vectors are.
    turned = {name: embedded(*vectors[::-1]) for name in outputs}
    assert [query.row for query in retrieval_queries(turned, texts)["image", "text"]] == rows


def test_a_row_number_counts_all_records_not_only_those_with_both() -> None:
    both = np.array([1, 3])
    pair = SubsetOutput(both, {}, np.array([EAST, NORTH], dtype=np.float32))
    outputs = {"text": embedded(WEST, EAST, WEST, NORTH), "image": pair, "image+text": pair}
    found = retrieval_queries(outputs, records("a", "b", "c", "d"))["text", "image"]
    assert [(query.row, query.rank, query.matches[0].row) for query in found] == [(1, 1, 1), (3, 1, 3)]


def test_without_pairs_there_are_no_queries() -> None:
    assert retrieval_queries({"text": embedded(EAST)}, records("a")) == {}


def classified(*logits: tuple[float, float]) -> SubsetOutput:
    return SubsetOutput(np.arange(len(logits)), {"colour": np.array(logits, dtype=np.float32)}, np.zeros((0, 2)))


def labelled(*labels: str | None) -> list[Record]:
    return [Record(row=i, id=str(i), labels={"colour": label} if label else {}) for i, label in enumerate(labels)]


def test_mistakes_are_the_wrong_rows_the_surest_first() -> None:
    output = classified((0, 1), (0, 3), (2, 0), (0, 2), (5, 0))
    found = mistakes(output, "text", labelled("blue", "blue", "red", "red", "blue"), CONFIG, num=2)["colour"]
    # Wrong are row 0 (says red with odds e), row 1 (red, e³) and row 2 (blue, e²).
    assert [(mistake.row, mistake.label, mistake.predicted) for mistake in found] == [
        (1, "blue", "red"),
        (2, "red", "blue"),
    ]
    assert found[0].score == pytest.approx(np.exp(3) / (1 + np.exp(3)))


def test_a_mistake_s_score_is_calibrated() -> None:
    warm = CONFIG.model_copy(update={"calibration": Calibration(temperatures={"colour": {"text": 3.0}})})
    (mistake,) = mistakes(classified((0, 3)), "text", labelled("blue"), warm, num=5)["colour"]
    assert mistake.score == pytest.approx(np.e / (1 + np.e))


def test_empty_cells_and_labels_that_the_model_does_not_know_are_no_mistakes() -> None:
    assert (
        mistakes(classified((0, 3), (0, 3), (0, 3)), "text", labelled(None, "green", "red"), CONFIG, num=5) == {}
    )
