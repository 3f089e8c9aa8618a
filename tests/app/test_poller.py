"""Newer versions that appear on the disk."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from app.checkpoints import Checkpoints
from app.poller import Poller
from app.served import Model
from app.service import Service
from app.settings import Settings
from models.errors import CheckpointError
from tests.fakes import FakeSource, make_predictor


def maker(name: str, version: int) -> Callable[[], Model]:
    return lambda: Model(make_predictor(name, version))


def broken() -> Model:
    raise CheckpointError("cut short")


def source_of(*versions: tuple[str, int]) -> FakeSource:
    return FakeSource({(name, version): maker(name, version) for name, version in versions})


class Followed:
    """A service that serves version 1 of `a` and of `b`, and is told when to look."""

    def __init__(self, source: FakeSource, followed: set[str] | None) -> None:
        self.source = source
        self.service = Service([maker("a", 1)(), maker("b", 1)()], Settings(num_workers=1), source)
        self.poller = Poller(self.service.registry, self.service.lifecycle, source, followed)

    async def look(self) -> list[str]:
        await self.poller.poll()
        return [f"{model.name}@{model.version}" for model in self.service.models]


def test_the_newest_of_what_is_newer_is_taken_and_only_of_models_that_are_followed() -> None:
    async def test() -> None:
        source = source_of(("a", 1), ("b", 1))
        followed = Followed(source, {"a"})
        assert await followed.look() == ["a@1", "b@1"]
        assert source.loaded == []
        for key in (("a", 2), ("a", 3), ("b", 2), ("c", 1)):
            source.makers[key] = maker(*key)
        assert await followed.look() == ["a@3", "b@1"]
        assert source.loaded == [("a", 3)]

    asyncio.run(test())


def test_without_named_models_every_model_is_followed_and_a_new_one_is_loaded() -> None:
    async def test() -> None:
        source = source_of(("a", 2), ("b", 2), ("c", 1), ("c", 5))
        followed = Followed(source, None)
        assert await followed.look() == ["a@2", "b@2", "c@5"]
        followed.service.lifecycle.unload("c")
        source.makers["c", 6] = maker("c", 6)
        assert await followed.look() == ["a@2", "b@2"]  # somebody unloaded it

    asyncio.run(test())


def test_going_back_to_an_older_version_lasts_until_there_is_a_newer_one() -> None:
    async def test() -> None:
        source = source_of(("a", 1), ("a", 2))
        followed = Followed(source, {"a"})
        assert await followed.look() == ["a@2", "b@1"]
        await followed.service.lifecycle.load("a", 1)
        assert await followed.look() == ["a@1", "b@1"]
        source.makers["a", 3] = maker("a", 3)
        assert await followed.look() == ["a@3", "b@1"]

    asyncio.run(test())


def test_a_broken_version_is_told_of_once_and_tried_again_when_its_files_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        source = source_of(("a", 1), ("a", 2))
        source.makers["a", 3] = broken
        followed = Followed(source, {"a"})
        assert await followed.look() == ["a@2", "b@1"]  # the best that works
        assert await followed.look() == ["a@2", "b@1"]
        assert source.loaded == [("a", 3), ("a", 2)]
        source.states["a", 3] = 1
        assert await followed.look() == ["a@2", "b@1"]
        assert source.loaded == [("a", 3), ("a", 2), ("a", 3)]
        source.states["a", 3], source.makers["a", 3] = 2, maker("a", 3)
        assert await followed.look() == ["a@3", "b@1"]

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert len(caplog.records) == 2


def test_a_look_that_fails_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    class Flaky(FakeSource):
        looks = 0

        def versions(self) -> dict[str, list[int]]:
            self.looks += 1
            if self.looks == 1:
                raise OSError("the folder is gone")
            return super().versions()

    async def test() -> None:
        source = Flaky({("a", 2): maker("a", 2)})
        settings = Settings(num_workers=1, poll_seconds=0.01)
        service = Service([maker("a", 1)()], settings, source)
        await service.start()
        async with asyncio.timeout(5):
            while service.model().version != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await service.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(test())
    assert "looking for newer versions failed" in caplog.text


def test_a_version_that_is_still_being_copied_changes_after_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "1"
    (folder / "gallery").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    source = Checkpoints(Settings(checkpoints=tmp_path))
    before = source.state("a", 1)
    assert source.state("a", 1) == before
    (folder / "gallery" / "items.jsonl").write_text("half")
    assert source.state("a", 1) != before
