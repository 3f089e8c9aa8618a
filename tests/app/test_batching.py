"""The batcher: every future is settled, once, with what belongs to it."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import pytest

from app.batch_limits import Limits
from app.batching import Batcher
from app.refusals import ClosedError, QueueFullError, StuckError

pytestmark = [pytest.mark.anyio, pytest.mark.clock]


class Recorder:
    """Doubles numbers, remembers its batches, and can be held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.busy = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        self.busy.set()
        self.open.wait(5)
        if 1300 in items:
            raise ValueError("1300")
        return [KeyError(item) if item < 0 else 2 * item for item in items]


def start(
    run: Callable[[list[int]], Sequence[int | Exception]],
    *,
    workers: int = 1,
    batch: int = 4,
    queue: int = 100,
    linger_seconds: float = 0.0,
    cost: tuple[int, ...] = (),
) -> Batcher[int, int]:
    """An item costs itself, in the first kind, where there is one."""
    batcher = Batcher[int, int](
        run,
        name="test",
        num_workers=workers,
        limits=Limits(batch, cost, linger_seconds),
        max_queue_items=queue,
        cost=lambda item: (item, 1)[: len(cost)],
    )
    batcher.start()
    return batcher


async def held(batcher: Batcher[int, int], run: Recorder, *items: int) -> "list[asyncio.Task[tuple[int, float]]]":
    """Occupy the only worker with 0, so that `items` wait."""
    run.open.clear()
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.to_thread(run.busy.wait, 5)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0.01)
    return [first, *tasks]


async def test_results_belong_to_their_items() -> None:
    batcher = start(Recorder(), workers=3)
    results = await asyncio.gather(*(batcher.submit(item) for item in range(50)))
    assert [result for result, _ in results] == [2 * item for item in range(50)]
    assert all(queued >= 0 for _, queued in results)
    await batcher.close()


async def test_a_batch_takes_what_waits_up_to_its_limit() -> None:
    run = Recorder()
    batcher = start(run, batch=4)
    tasks = await held(batcher, run, 1, 2, 3, 4, 5)
    run.open.set()
    await asyncio.gather(*tasks)
    assert run.batches == [[0], [1, 2, 3, 4], [5]]
    await batcher.close()


async def test_an_idle_worker_leaves_others_their_share() -> None:
    barrier = threading.Barrier(2, timeout=5)  # passes only if both workers have an item

    def run(items: list[int]) -> list[int]:
        barrier.wait()
        return items

    batcher = start(run, workers=2, batch=8)
    await asyncio.sleep(0.05)  # until both idle
    assert [result for result, _ in await asyncio.gather(batcher.submit(1), batcher.submit(2))] == [1, 2]
    await batcher.close()


async def test_a_result_is_handed_on_to_the_batcher_that_follows() -> None:
    first, second = start(Recorder()), start(Recorder())
    first.lead_to(second, lambda result: result + 1 if result > 2 else None)
    results = await asyncio.gather(*(first.submit(item) for item in (1, 2, 3, -5)), return_exceptions=True)
    assert [result[0] for result in results if isinstance(result, tuple)] == [2, 10, 14]  # 2 (2 x + 1), from 2 on
    assert isinstance(results[3], KeyError)
    await first.close()
    await second.close()


async def test_a_batcher_that_follows_and_is_full_refuses_and_nobody_waits_for_ever() -> None:
    run = Recorder()
    first, second = start(Recorder()), start(run, queue=1)
    first.lead_to(second, lambda result: result)
    held_ones = await held(second, run, 1)
    with pytest.raises(QueueFullError):
        await asyncio.wait_for(first.submit(3), 5)
    run.open.set()
    await asyncio.gather(*held_ones)
    await second.close()
    with pytest.raises(ClosedError):
        await asyncio.wait_for(first.submit(3), 5)
    await first.close()


async def test_an_item_that_is_handed_on_keeps_its_deadline_and_its_time_in_queues_adds_up() -> None:
    run = Recorder()
    first, second = start(Recorder()), start(run)
    first.lead_to(second, lambda result: result)
    [busy] = await held(second, run)
    late = asyncio.create_task(first.submit(3, deadline=time.perf_counter() + 0.02))
    patient = asyncio.create_task(first.submit(4))
    await asyncio.sleep(0.05)
    run.open.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(late, 5)
    result, queued = await patient
    assert result == 16
    assert queued >= 0.02
    await busy
    await first.close()
    await second.close()


async def test_a_bad_item_fails_alone_and_its_neighbours_succeed() -> None:
    run = Recorder()
    batcher = start(run)
    tasks = await held(batcher, run, 1, 1300, -3)
    run.open.set()
    _, one, raised, negative = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(one, tuple)
    assert one[0] == 2
    assert isinstance(raised, ValueError)
    assert isinstance(negative, KeyError)
    await batcher.close()


async def test_a_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    run = Recorder()
    batcher = start(run, queue=2)
    tasks = await held(batcher, run, 1, 2)
    with pytest.raises(QueueFullError) as caught:
        await batcher.submit(3)
    assert caught.value.retry_after_seconds >= 1
    run.open.set()
    await asyncio.gather(*tasks)
    await batcher.close()


async def test_retry_after_grows_with_the_measured_cost_of_what_waits() -> None:
    def slow(items: list[int]) -> list[int]:
        time.sleep(0.6)
        return items

    batcher = start(slow, batch=1, queue=2)
    await batcher.submit(0)
    tasks = []
    for item in (1, 2, 3):
        tasks.append(asyncio.create_task(batcher.submit(item)))
        await asyncio.sleep(0.02)  # the first is with the worker before the second comes
    with pytest.raises(QueueFullError) as caught:
        await batcher.submit(4)
    assert caught.value.retry_after_seconds == 2  # two wait, 0.6 s each
    await asyncio.gather(*tasks)
    await batcher.close()


async def test_a_cancelled_item_costs_nothing_and_frees_its_place() -> None:
    run = Recorder()
    batcher = start(run, queue=2)
    first, one, two = await held(batcher, run, 1, 2)
    one.cancel()
    await asyncio.sleep(0)
    three = asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0.01)
    run.open.set()
    await asyncio.gather(first, two, three)
    assert 1 not in [item for batch in run.batches for item in batch]
    await batcher.close()


async def test_closing_settles_every_future() -> None:
    run = Recorder()
    batcher = start(run)
    tasks = await held(batcher, run, 1, 2)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    run.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await closing
    assert isinstance(results[0], tuple)
    assert [type(result) for result in results[1:]] == [ClosedError, ClosedError]
    with pytest.raises(ClosedError):
        await batcher.submit(1)


@pytest.mark.parametrize("result", [[], [1, 2], [StopIteration()]])
async def test_a_run_that_breaks_its_promise_still_settles_the_future(result: list[int]) -> None:
    batcher = start(lambda _: result)
    with pytest.raises(RuntimeError):
        await batcher.submit(1)
    await batcher.close()


async def test_flows_take_turns_so_that_a_crowd_starves_nobody() -> None:
    run = Recorder()
    batcher = start(run, batch=1)
    run.open.clear()
    tasks = [asyncio.create_task(batcher.submit(0))]
    await asyncio.to_thread(run.busy.wait, 5)
    tasks += [asyncio.create_task(batcher.submit(item, flow="crowd")) for item in range(1, 50)]
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(batcher.submit(1000, flow="single")))
    await asyncio.sleep(0.01)
    run.open.set()
    await asyncio.gather(*tasks)
    assert [1000] in run.batches[:4]
    assert [item for [item] in run.batches if item < 1000] == list(range(50))  # the crowd keeps its order
    await batcher.close()


async def test_a_batch_ends_where_its_cost_would_pass_the_limit() -> None:
    run = Recorder()
    batcher = start(run, batch=8, cost=(10, 3))
    tasks = await held(batcher, run, 4, 5, 2, 50, 1, 1, 1, 1)
    run.open.set()
    await asyncio.gather(*tasks)
    # 4 + 5 + 2 is too much of the first kind, 50 alone too, and four ones are too many of the second.
    assert run.batches == [[0], [4, 5], [2], [50], [1, 1, 1], [1]]
    await batcher.close()


async def test_a_batch_waits_for_more_only_while_arrivals_promise_them() -> None:
    run = Recorder()
    batcher = start(run, batch=3, linger_seconds=3)
    began = time.monotonic()
    await batcher.submit(1)  # the first ever: nobody is expected
    assert time.monotonic() - began < 2.5
    for item in range(30):
        await batcher.submit(item)
    run.batches.clear()
    first = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0.002)  # less than the rate promises
    await asyncio.gather(first, batcher.submit(3), batcher.submit(4))
    assert run.batches == [[2, 3, 4]]
    await batcher.close()


async def test_a_culprit_is_found_by_halving() -> None:
    run = Recorder()
    batcher = start(run, batch=8)
    tasks = await held(batcher, run, 1, 2, 3, 4, 5, 6, 1300, 8)
    run.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [tuple] * 7 + [ValueError, tuple]
    assert run.batches[1:] == [
        [1, 2, 3, 4, 5, 6, 1300, 8], [1, 2, 3, 4], [5, 6, 1300, 8], [5, 6], [1300, 8], [1300], [8],
    ]  # fmt: skip
    await batcher.close()


async def test_after_a_batch_without_memory_none_is_that_large_again() -> None:
    batches: list[int] = []
    opened = threading.Event()

    def run(items: list[int]) -> list[int]:
        opened.wait(5)
        batches.append(len(items))
        if len(items) > 2:
            raise MemoryError
        return items

    batcher = start(run, batch=4)
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.05)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in range(8)]
    await asyncio.sleep(0.05)
    opened.set()
    assert [result for result, _ in await asyncio.gather(*tasks)] == list(range(8))
    await first
    assert batches == [1, 4, 2, 2, 2, 2]
    await batcher.close()


async def test_an_item_past_its_deadline_is_dropped_before_it_costs_anything() -> None:
    run = Recorder()
    expired = []
    batcher = start(run)
    batcher.on_expiry = lambda: expired.append(1)
    tasks = await held(batcher, run, 1)
    late = asyncio.create_task(batcher.submit(2, deadline=time.perf_counter() + 0.02))
    await asyncio.sleep(0.05)
    run.open.set()
    await asyncio.gather(*tasks)
    with pytest.raises(TimeoutError):
        await late
    assert run.batches == [[0], [1]]
    assert expired == [1]
    await batcher.close()


class Tar:
    """Hangs on every batch with a 7 in it, until it is released."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.released = threading.Event()
        self.first = threading.Event()

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        if items == [0]:
            self.first.wait(5)
        if 7 in items:
            self.released.wait(20)
        return items


async def test_a_stuck_worker_is_replaced_and_only_the_culprit_fails() -> None:
    run = Tar()
    batcher = start(run, batch=8)
    tasks = [asyncio.create_task(batcher.submit(0))]
    await asyncio.sleep(0.02)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 7, 3)]
    await asyncio.sleep(0.02)
    run.first.set()
    given_up = 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.05)
        given_up += len(batcher.replace_stuck(0.2))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result[0] if isinstance(result, tuple) else type(result) for result in results] == [
        0,
        1,
        StuckError,
        3,
    ]
    assert given_up == 2  # the batch, then the culprit alone
    assert batcher.num_stuck() == 2
    assert (await batcher.submit(5))[0] == 5
    run.released.set()
    await asyncio.to_thread(lambda: [time.sleep(0.01) for _ in range(500) if batcher.num_stuck()])
    assert batcher.num_stuck() == 0
    assert (await batcher.submit(6))[0] == 6  # threads that came back late disturb nobody
    await batcher.close()


async def test_a_panic_of_a_library_is_an_items_own_failure_and_costs_no_worker() -> None:
    class Panic(BaseException):
        """What pyo3 raises where Rust panics."""

    def run(items: list[int]) -> list[int]:
        if 7 in items:
            raise Panic("index out of bounds")
        return items

    batcher = start(run)
    with pytest.raises(RuntimeError, match="index out of bounds"):
        await batcher.submit(7)
    assert (await batcher.submit(5))[0] == 5
    await batcher.close()


async def test_a_failed_item_is_let_go_of_at_once() -> None:
    class Thing:
        """Something that can be watched."""

    def run(things: list[Thing]) -> list[Exception]:
        return [ValueError("no") for _ in things]

    batcher = Batcher[Thing, int](run, name="test", num_workers=1, limits=Limits(1), max_queue_items=9)
    batcher.start()
    thing = Thing()
    watched = weakref.ref(thing)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no"):
            await batcher.submit(thing)
        del thing
        await asyncio.sleep(0.05)
        assert watched() is None
    finally:
        gc.enable()
    await batcher.close()


async def test_idle_workers_that_linger_do_not_split_the_batch_they_waited_for() -> None:
    run = Recorder()
    batcher = start(run, workers=2, batch=4, linger_seconds=0.3)
    for item in range(40):  # arrivals, a few milliseconds apart
        await asyncio.wait_for(batcher.submit(item), 5)
    run.batches.clear()
    await asyncio.gather(*(batcher.submit(item) for item in range(4)))
    assert run.batches == [[0, 1, 2, 3]]
    await batcher.close()


async def test_a_batch_that_was_given_up_is_not_halved_for_nobody() -> None:
    batches: list[list[int]] = []
    opened, released, hangs = threading.Event(), threading.Event(), threading.Event()

    def run(items: list[int]) -> list[int]:
        batches.append(items)
        opened.wait(5)
        if len(items) == 3:
            hangs.set()
            released.wait(5)
            raise ValueError("late")
        return items

    batcher = start(run, batch=8)
    tasks = [asyncio.create_task(batcher.submit(0))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
    await asyncio.sleep(0.05)
    opened.set()
    await asyncio.to_thread(hangs.wait, 5)
    await asyncio.sleep(0.15)
    assert batcher.replace_stuck(0.1) == [[1, 2, 3]]
    assert [result for result, _ in await asyncio.gather(*tasks)] == [0, 1, 2, 3]
    before = len(batches)
    released.set()
    await asyncio.sleep(0.1)
    assert len(batches) == before
    await batcher.close()


async def test_a_half_that_hangs_is_the_last_of_its_batch() -> None:
    batches: list[list[int]] = []
    opened, released, hangs = threading.Event(), threading.Event(), threading.Event()

    def run(items: list[int]) -> list[int]:
        batches.append(items)
        opened.wait(5)
        if len(items) == 4:
            raise ValueError("one of you")
        if items == [1, 2]:
            hangs.set()
            released.wait(5)
        return items

    batcher = start(run, batch=8)
    tasks = [asyncio.create_task(batcher.submit(0))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3, 4)]
    await asyncio.sleep(0.05)
    opened.set()
    await asyncio.to_thread(hangs.wait, 5)
    await asyncio.sleep(0.15)
    assert batcher.replace_stuck(0.1) == [[1, 2, 3, 4]]
    assert [result for result, _ in await asyncio.gather(*tasks)] == [0, 1, 2, 3, 4]
    released.set()
    await asyncio.sleep(0.1)
    assert [3, 4] not in batches
    await batcher.close()
