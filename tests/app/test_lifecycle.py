"""Versions that are loaded, refused, unloaded, and read anew, with a fake source and a fake engine."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from app import lifecycle, memory
from app.refusals import ConflictError, NotFoundError
from app.served import Model
from app.service import Service
from app.settings import Settings
from models.engine import Encoded, Output
from models.errors import CheckpointError
from tests.fakes import FakeEngine, FakeSource, make_predictor

FOLDER = Path("/srv/secret/checkpoints")


class BrokenEngine(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.broken = True


class NumblessEngine(FakeEngine):
    """Answers NaN, as a network does whose weights are no numbers."""

    def fuse(self, encoded: Encoded, present_BM: np.ndarray) -> Output:
        output = super().fuse(encoded, present_BM)
        return Output({head: np.nan * logits for head, logits in output.logits.items()}, output.embedding_BE)


class StuckEngine(FakeEngine):
    """Never answers, until the test is over."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__()
        self.over = over

    def encode(self, _batch: object) -> Encoded:
        self.over.wait(20)
        raise RuntimeError("stuck")


def maker(version: int, engine: Callable[[], FakeEngine] = FakeEngine, name: str = "a") -> Callable[[], Model]:
    return lambda: Model(make_predictor(name, version, engine()))


def unreadable() -> Model:
    raise CheckpointError(f"{FOLDER}/a/2: weights.safetensors was altered or cut short. Restore it.")


def run(test: Callable[[Service, FakeSource], Awaitable[None]], source: FakeSource, **values: object) -> None:
    """Run a test with a service that serves version 1 of `a`, the default, and whose source is `source`."""

    async def started() -> None:
        settings = Settings(num_workers=1, checkpoints=FOLDER, **values)
        service = Service([maker(1)()], settings, source)
        await service.start()
        try:
            await test(service, source)
        finally:
            await service.close()

    asyncio.run(started())


def served(service: Service) -> list[tuple[str, int]]:
    return [(model.name, model.version) for model in service.models]


def test_the_newest_version_is_tried_and_swapped_in_and_the_old_one_goes() -> None:
    engine = FakeEngine()

    async def test(service: Service, source: FakeSource) -> None:
        assert (await service.lifecycle.load("a")).version == 3
        assert served(service) == [("a", 3)]
        assert engine.batches == [1]  # it has answered before it was served
        await service.lifecycle.load("a")
        await service.lifecycle.load("a", 3)
        assert source.loaded == [("a", 3)]

    run(test, FakeSource({("a", 1): maker(1), ("a", 2): maker(2), ("a", 3): maker(3, lambda: engine)}))


def test_loads_of_one_version_at_once_read_it_once() -> None:
    async def test(service: Service, source: FakeSource) -> None:
        models = await asyncio.gather(*(service.lifecycle.load("a", 2) for _ in range(5)))
        assert set(models) == {service.model("a")}
        assert source.loaded == [("a", 2)]

    run(test, FakeSource({("a", 2): maker(2)}))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (unreadable, "a/2: weights.safetensors was altered"),
        (maker(2, BrokenEngine), "failed with RuntimeError"),
        (maker(2, NumblessEngine), "failed with FloatingPointError"),
    ],
)
def test_a_broken_version_is_refused_and_the_old_one_stays(
    make: Callable[[], Model], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(service: Service, source: FakeSource) -> None:
        old, outcomes = service.model(), []
        service.lifecycle.on_load = lambda *outcome: outcomes.append(outcome)
        with pytest.raises(ConflictError, match=says) as refused:
            await service.lifecycle.load("a", 2)
        assert "secret" not in str(refused.value)
        assert service.models == (old,)
        assert outcomes == [("a", "refused")]
        assert await service.ready()  # its failure is not the service's

    with caplog.at_level(logging.WARNING):
        run(test, FakeSource({("a", 1): maker(1), ("a", 2): make}))
    [record] = caplog.records
    assert record.getMessage().startswith("version 2 of model a is refused")


@pytest.mark.clock
def test_a_version_that_never_answers_is_refused_and_takes_no_worker() -> None:
    over = threading.Event()

    async def test(service: Service, source: FakeSource) -> None:
        with pytest.raises(ConflictError, match=r"more than 0\.2 s"):
            await service.lifecycle.load("a", 2)
        assert served(service) == [("a", 1)]
        assert await service.ready()

    try:
        run(test, FakeSource({("a", 2): maker(2, lambda: StuckEngine(over))}), load_timeout_seconds=0.2)
    finally:
        over.set()


@pytest.mark.parametrize(
    ("name", "version"), [("b", None), ("a", 9), ("../a", None), ("a/../a", 1), ("", None), ("a" * 5000, 1)]
)
def test_only_what_is_listed_is_ever_read(name: str, version: int | None) -> None:
    async def test(service: Service, source: FakeSource) -> None:
        with pytest.raises(NotFoundError) as missing:
            await service.lifecycle.load(name, version)
        assert len(str(missing.value)) < 300
        assert source.loaded == []

    run(test, FakeSource({("a", 1): maker(1)}))


def test_versions_that_the_settings_fix_stay() -> None:
    async def test(service: Service, source: FakeSource) -> None:
        await service.lifecycle.load("a", 2)
        assert served(service) == [("a", 2), ("a", 1)]
        await service.lifecycle.load("a", 1)
        assert served(service) == [("a", 1)]  # 2 was not kept

    run(test, FakeSource({("a", 2): maker(2)}), models="a@1")


def test_another_model_comes_and_goes() -> None:
    async def test(service: Service, source: FakeSource) -> None:
        await service.lifecycle.load("b")
        assert served(service) == [("a", 1), ("b", 4)]
        service.lifecycle.unload("b")
        assert served(service) == [("a", 1)]

    run(test, FakeSource({("b", 4): maker(4, name="b")}))


@pytest.mark.clock
def test_a_retired_model_is_let_go_and_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(memory, "_PATIENCE_SECONDS", (0.01, 0.01, 0.1, 1.0))

    async def test(service: Service, source: FakeSource) -> None:
        old = weakref.ref(service.model())
        held = service.model()  # as a request does
        await service.lifecycle.load("a", 2)
        monkeypatch.setattr(memory, "trim", trimmed.set)
        await asyncio.sleep(0.05)
        assert old() is held
        assert not trimmed.is_set()
        del held
        assert await asyncio.to_thread(trimmed.wait, 5)
        assert old() is None

    gc.disable()  # so that nothing but the references themselves is relied on
    try:
        run(test, FakeSource({("a", 2): maker(2)}))
    finally:
        gc.enable()


def test_a_refused_version_is_let_go() -> None:
    made = []

    def make() -> Model:
        model = maker(2, BrokenEngine)()
        made.append(weakref.ref(model))
        return model

    async def test(service: Service, source: FakeSource) -> None:
        with pytest.raises(ConflictError) as refused:
            await service.lifecycle.load("a", 2)
        assert made[0]() is None
        assert "RuntimeError" in str(refused.value)

    gc.disable()
    try:
        run(test, FakeSource({("a", 2): make}))
    finally:
        gc.enable()
    assert made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_model_that_fails_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(service: Service, source: FakeSource) -> None:
        broken = weakref.ref(service.model())
        service.model().predictor.engine.broken = True
        with pytest.raises(RuntimeError):
            await service.pipeline.warm_up(service.model())
        assert not await service.ready()
        await until(lambda: service.model() is not broken())
        assert source.loaded == [("a", 1)]
        assert await service.ready()

    run(test, FakeSource({("a", 1): maker(1)}))


@pytest.mark.clock
def test_a_model_that_does_not_answer_in_time_is_read_anew_and_one_that_does_is_left() -> None:
    over = threading.Event()
    stuck = Model(make_predictor("b", 1, StuckEngine(over)))

    async def test(service: Service, source: FakeSource) -> None:
        good = service.model()
        service.registry.put(stuck)
        service.lifecycle.recover_soon()
        service.lifecycle.recover_soon()  # one is enough
        await until(lambda: service.model("b") is not stuck)
        assert service.model() is good
        assert source.loaded == [("b", 1)]

    try:
        run(test, FakeSource({("b", 1): maker(1, name="b")}), request_timeout_seconds=0.2)
    finally:
        over.set()


@pytest.mark.clock
def test_a_model_that_stays_broken_is_not_read_again_at_every_probe() -> None:
    async def test(service: Service, source: FakeSource) -> None:
        service.model().predictor.engine.broken = True
        for _ in range(5):
            service.lifecycle.recover_soon()
            await asyncio.sleep(0.05)
        assert source.loaded == [("a", 1)]
        assert served(service) == [("a", 1)]

    assert lifecycle._RECOVERY_PAUSE_SECONDS > 1
    run(test, FakeSource({("a", 1): maker(1, BrokenEngine)}))
