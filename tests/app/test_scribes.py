"""Threads that write, by themselves: whatever becomes of a step, each of its texts is answered."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from app.desk import Draft, Written
from app.refusals import StuckError
from app.scribes import Scribes
from app.served import Model
from models.batch import Example
from models.caption import Caption, Writing

pytestmark = pytest.mark.anyio


class Panic(BaseException):
    """What a library in Rust raises."""


class OneStep:
    """A model and its writer, whose texts end with their first step."""

    on_cpu = False

    def __init__(
        self, work: Callable[[], object] = lambda: None, check: Callable[[], object] = lambda: None
    ) -> None:
        self.work, self.check, self.captioner = work, check, self
        self.pages: list[tuple[object, Callable[[str], bool]]] = []

    def writer(self) -> "OneStep":
        return self

    def add(self, _: Example, __: Writing, ___: str, on_text: Callable[[str], bool], ____: None = None) -> object:
        self.check()
        self.pages.append((object(), on_text))
        return self.pages[-1][0]

    def step(self) -> list[tuple[object, Caption]]:
        self.work()
        pages, self.pages = self.pages, []
        for _, on_text in pages:
            on_text("said")
        return [(page, Caption(text="said", num_tokens=1, finish_reason="stop", score=0.0)) for page, _ in pages]


def draft(model: OneStep, heard: list[str] | None = None) -> Draft:
    hear = None if heard is None else heard.append
    return Draft(cast(Model, model), Example(arrays={}), Writing(), hear=hear)


@asynccontextmanager
async def scribes() -> AsyncIterator[Scribes]:
    made = Scribes(num_workers=1, max_rows=8, max_queue_items=8)
    made.start()
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.clock
async def test_what_one_model_s_text_came_to_holds_though_another_s_hangs_in_the_same_step() -> None:
    hung, freed = threading.Event(), threading.Event()

    def hang() -> None:
        hung.set()
        freed.wait(10)

    quick, slow = OneStep(), OneStep(hang)
    faulty = OneStep(check=lambda: cast(Any, {})["no such"])
    heard: list[str] = []
    async with scribes() as made:
        drafts = [draft(quick, heard), draft(faulty), draft(slow)]
        texts = [asyncio.ensure_future(made.submit(one)) for one in drafts]
        await asyncio.to_thread(hung.wait, 10)
        await asyncio.sleep(0.02)
        assert made.replace_stuck(0.01) == [[drafts[2]]]
        async with asyncio.timeout(5):
            found = await asyncio.gather(*texts, return_exceptions=True)
        assert isinstance(found[0], tuple)
        assert isinstance(found[0][0], Written)
        assert heard == ["said"]
        assert isinstance(found[1], KeyError)
        assert isinstance(found[2], StuckError)
        freed.set()


async def test_a_text_whose_check_panics_is_told_and_its_thread_goes_on() -> None:
    def panic() -> None:
        raise Panic

    async with scribes() as made, asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="Panic"):
            await made.submit(draft(OneStep(check=panic)))
        written, _ = await made.submit(draft(OneStep()))
        assert written.caption.text == "said"


@pytest.mark.clock
async def test_an_idle_thread_keeps_nothing_of_its_last_texts() -> None:
    async with scribes() as made, asyncio.timeout(5):
        model = OneStep()
        await made.submit(draft(model))
        gone = weakref.ref(model)
        del model
        while gone() is not None:
            await asyncio.sleep(0.01)
            gc.collect()


@pytest.mark.clock
async def test_a_thread_that_cannot_be_replaced_now_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    hung, freed = threading.Event(), threading.Event()

    def hang() -> None:
        hung.set()
        freed.wait(10)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with scribes() as made, asyncio.timeout(5):
        text = asyncio.ensure_future(made.submit(draft(OneStep(hang))))
        await asyncio.to_thread(hung.wait, 10)
        await asyncio.sleep(0.02)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            with pytest.raises(RuntimeError):
                made.replace_stuck(0.01)
        with pytest.raises(StuckError):
            await text
        made.replace_stuck(0.01)
        assert (await made.submit(draft(OneStep())))[0].caption.text == "said"
        freed.set()
