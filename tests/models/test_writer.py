"""Texts that join and leave between two steps: each is the one that it would be alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.caption import Caption, Writing
from models.errors import InputError
from models.writer import Page, Writer
from tests.models.test_captioner import PROMPTS, WRITINGS, captioner, examples, predictor, write


def run(writer: Writer, until: int = 100) -> dict[Page, Caption]:
    """What ended within so many steps."""
    ended: dict[Page, Caption] = {}
    for _ in range(until):
        ended |= writer.step()
        if not len(writer):
            break
    return ended


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(WRITINGS), st.sampled_from(PROMPTS), st.integers(0, 4)),
        min_size=2,
        max_size=6,
    )
)
def test_a_text_that_joins_others_is_the_one_that_it_would_be_alone(engine: Any, rows: Any) -> None:
    writer = captioner(engine).writer()
    pages, ended = [], {}
    for item, writing, prompt, steps in rows:
        pages.append(writer.add(examples()[item], writing, prompt))
        ended |= run(writer, steps)
    ended |= run(writer)
    assert not len(writer)
    for page, (item, writing, prompt, _) in zip(pages, rows, strict=True):
        (alone,) = captioner(engine).caption([examples()[item]], [writing], [prompt])
        assert ended[page].text == alone.text
        assert ended[page].num_tokens == alone.num_tokens
        assert ended[page].score == pytest.approx(alone.score, abs=1e-4)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_text_goes_on_from_an_encoding_beside_texts_that_have_none(engine: str) -> None:
    made = predictor(engine)
    _, _, encoded = made.predict_encoded(examples())
    writer = captioner(engine).writer()
    pages = [writer.add(examples()[0], Writing())]
    writer.step()
    for item in (1, 2, 3):
        row = encoded.take(np.array([item])) if item != 2 else None
        pages.append(writer.add(examples()[item], Writing(num_beams=item), encoded=row))
    ended = run(writer)
    for item, page in enumerate(pages):
        assert ended[page].text == write(item, engine=engine, num_beams=max(1, item)).text
        assert page.encoded is None


def test_each_step_writes_one_subword_of_every_text() -> None:
    heard: list[str] = []
    writer = captioner().writer()
    page = writer.add(
        examples()[0], Writing(max_tokens=4, no_repeat_ngram=0), "", lambda piece: not heard.append(piece)
    )
    assert writer.step() == []
    assert len(heard) == 1
    ended = run(writer, 3)
    assert ended[page].num_tokens == 4
    assert "".join(heard) == ended[page].text == write(max_tokens=4, no_repeat_ngram=0).text


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_text_that_is_dropped_leaves_the_others_as_they_are(engine: str, gone: int) -> None:
    writer = captioner(engine).writer()
    writings = [Writing(), Writing(num_beams=3), Writing(max_tokens=5)]
    pages = [writer.add(examples()[number], writing) for number, writing in enumerate(writings)]
    run(writer, 2)
    writer.drop(pages[gone])
    ended = run(writer)
    assert set(ended) == set(pages) - {pages[gone]}
    for number, page in enumerate(pages):
        if number != gone:
            (alone,) = captioner(engine).caption([examples()[number]], [writings[number]])
            assert ended[page].text == alone.text


def test_the_last_text_may_be_dropped_before_its_first_step_and_after() -> None:
    writer = captioner().writer()
    writer.drop(writer.add(examples()[0], Writing()))
    assert (len(writer), writer.step()) == (0, [])
    page = writer.add(examples()[0], Writing())
    writer.step()
    writer.drop(page)
    writer.drop(page)
    assert (len(writer), writer.step()) == (0, [])


def test_what_cannot_be_written_does_not_join() -> None:
    writer = captioner().writer()
    with pytest.raises(InputError, match="max_tokens"):
        writer.add(examples()[0], Writing(max_tokens=0))
    assert len(writer) == 0


def test_a_step_is_no_longer_than_its_oldest_text() -> None:
    engine = predictor().engine
    batch = predictor().preprocessors.collate(examples()[:2])
    texts = engine.begin(engine.encode(batch))
    _, old = engine.write(texts, np.zeros((2, 7), np.int64))
    _, young = engine.write(texts, np.zeros((2, 2), np.int64))
    both = old.join(young)
    assert both.past["keys.0"].shape[2] == 7
    assert both.take(np.array([2, 3])).past["keys.0"].shape[2] == 2
