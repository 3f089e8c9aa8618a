"""Ranks of texts and images among one another, on vectors that can be checked by eye."""

import numpy as np
import pytest

from models.manifest import Record
from training.measures.matching import equal_texts, matching
from training.measures.outputs import Captions, SubsetOutput

EYE = np.eye(3, dtype=np.float32)


def outputs(images: np.ndarray, texts: np.ndarray, captions: Captions | None = None) -> dict[str, SubsetOutput]:
    rows = np.arange(len(images))
    return {
        "image": SubsetOutput(rows, {}, images),
        "text": SubsetOutput(rows, {}, texts, captions),
        "image+text": SubsetOutput(rows, {}, images),
    }


def records(*texts: tuple[str, ...]) -> list[Record]:
    return [Record(row=place, id=str(place), texts=own) for place, own in enumerate(texts)]


def test_rows_without_a_text_equal_none_but_themselves() -> None:
    found = equal_texts(records(("a",), (), ("a",), ()), np.array([0, 1, 2, 3]))
    assert [places.tolist() for places in found] == [[0, 2], [1], [0, 2], [3]]


def test_every_caption_asks_for_its_image_and_an_image_for_any_of_its_captions() -> None:
    # The first record's captions point at its own image and at the second's; the second's single one at its own.
    captions = Captions(np.array([0, 0, 1]), np.array([EYE[0], EYE[1], EYE[1]]))
    found = matching(outputs(EYE[:2], EYE[:2], captions), records(("a", "b"), ("c",)))
    assert found["text_to_image"]["queries"] == 3
    assert found["text_to_image"]["gallery"] == 2
    assert found["text_to_image"]["r@1"] == pytest.approx(2 / 3)
    assert found["image_to_text"]["queries"] == 2
    assert found["image_to_text"]["gallery"] == 3
    # The second image's best own caption ties with a wrong one, which counts against it.
    assert found["image_to_text"]["r@1"] == 0.5


def test_an_image_s_rank_is_that_of_the_best_of_its_captions() -> None:
    # The first image's captions are at ranks 1 and 3 among three, the second's single one at rank 1.
    captions = Captions(np.array([0, 0, 1]), np.array([EYE[0], -EYE[0], EYE[1]]))
    found = matching(outputs(EYE[:2], EYE[:2], captions), records(("a", "b"), ("c",)))["image_to_text"]
    assert (found["r@1"], found["median_rank"]) == (1, 1)
    assert found["ndcg@10"] == pytest.approx(((1 + 1 / 2) / (1 + 1 / np.log2(3)) + 1) / 2)


def test_the_recall_of_an_index_is_measured_where_it_is_asked_for() -> None:
    pytest.importorskip("faiss")
    plain = matching(outputs(EYE, EYE), records(("a",), ("b",), ("c",)))
    asked = matching(outputs(EYE, EYE), records(("a",), ("b",), ("c",)), with_index=True)
    assert asked == {way: {**figures, "index_recall@10": 1.0} for way, figures in plain.items()}


def test_captions_of_rows_that_lack_an_image_are_not_asked() -> None:
    captions = Captions(np.array([0, 1, 2]), EYE)
    three = outputs(EYE, EYE, captions)
    three["image"] = SubsetOutput(np.array([0, 2]), {}, EYE[[0, 2]])
    three["image+text"] = SubsetOutput(np.array([0, 2]), {}, EYE[[0, 2]])
    found = matching(three, records(("a",), ("b",), ("c",)))
    assert found["text_to_image"]["queries"] == found["image_to_text"]["gallery"] == 2
    assert found["text_to_image"]["r@1"] == 1
