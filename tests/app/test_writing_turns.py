"""The threads that write: whom they serve in turn, what they keep, and how they end."""

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from app.desk import Draft, Written
from app.refusals import ClosedError, QueueFullError
from app.scribes import Scribes
from app.served import Model
from models.caption import Writing
from models.sample import Sample
from tests.fake_captions import COUNT, FakeCaptioner, Pen
from tests.fakes import make_predictor

pytestmark = pytest.mark.anyio


def make_model(pen: Pen) -> Model:
    predictor = make_predictor("scribe")
    predictor.captioner = FakeCaptioner(pen)
    return Model(predictor)


def draft(model: Model, max_tokens: int = 3, **options: object) -> Draft:
    example = model.predictor.prepare(Sample(text="red"))
    return Draft(model, example, Writing(max_tokens=max_tokens, **options), COUNT)


def started(*, max_rows: int = 4, max_queue_items: int = 100) -> Scribes:
    scribes = Scribes(num_workers=1, max_rows=max_rows, max_queue_items=max_queue_items)
    scribes.start()
    return scribes


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - threads announce nothing
            await asyncio.sleep(0.01)


@pytest.mark.clock
async def test_an_idle_thread_keeps_no_model_of_what_it_wrote_last() -> None:
    scribes, model = started(), make_model(Pen())
    written, _ = await scribes.submit(draft(model))
    assert written.caption.text == " 1 2 3"
    gone = weakref.ref(model)
    del model, written
    for _ in range(50):
        gc.collect()
        if gone() is None:
            break
        await asyncio.sleep(0.02)
    assert gone() is None
    await scribes.close()


@pytest.mark.clock
async def test_flows_take_turns_so_that_many_of_one_do_not_hold_up_another() -> None:
    pen = Pen()
    scribes, model = started(max_rows=1), make_model(pen)
    pen.open.clear()
    ended: list[str] = []

    async def write(name: str, flow: object) -> None:
        await scribes.submit(draft(model), flow=flow)
        ended.append(name)

    crowd = [asyncio.create_task(write("crowd", "crowd")) for _ in range(5)]
    await asyncio.sleep(0.05)
    single = asyncio.create_task(write("single", "single"))
    await asyncio.sleep(0.05)
    pen.open.set()
    await asyncio.gather(*crowd, single)
    assert ended.index("single") <= 2
    await scribes.close()


@pytest.mark.clock
async def test_rows_of_beams_fill_a_desk() -> None:
    pen = Pen()
    scribes, model = started(max_rows=4), make_model(pen)
    pen.open.clear()
    tasks = [asyncio.create_task(scribes.submit(draft(model, num_beams=3))) for _ in range(3)]
    await asyncio.sleep(0.05)
    pen.open.set()
    assert all(isinstance(written, Written) for written, _ in await asyncio.gather(*tasks))
    assert set(pen.steps) == {3}
    await scribes.close()


async def test_a_text_of_more_beams_than_a_desk_has_rows_is_written_alone() -> None:
    pen = Pen()
    scribes, model = started(max_rows=2), make_model(pen)
    await scribes.submit(draft(model, num_beams=5))
    assert set(pen.steps) == {5}
    await scribes.close()


@pytest.mark.clock
async def test_one_too_many_is_refused_at_once() -> None:
    pen = Pen()
    scribes, model = started(max_rows=1, max_queue_items=1), make_model(pen)
    pen.open.clear()
    running = asyncio.create_task(scribes.submit(draft(model)))
    await until(lambda: scribes.num_running() == 1)
    waiting = asyncio.create_task(scribes.submit(draft(model)))
    await asyncio.sleep(0.02)
    with pytest.raises(QueueFullError):
        await scribes.submit(draft(model))
    pen.open.set()
    await asyncio.gather(running, waiting)
    await scribes.close()


async def test_what_is_being_written_and_what_waits_fail_when_the_service_closes() -> None:
    pen = Pen(seconds=0.02)
    scribes, model = started(max_rows=1), make_model(pen)
    tasks = [asyncio.create_task(scribes.submit(draft(model, 500))) for _ in range(2)]
    await until(lambda: bool(pen.steps))
    await scribes.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [ClosedError, ClosedError]
    with pytest.raises(ClosedError):
        await scribes.submit(draft(model))
