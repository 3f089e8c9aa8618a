"""A service of a test's own, which it may overload or break."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.fakes import FakeEngine, make_service, serving

Start = Callable[..., httpx.Client]


@pytest.fixture
def engine() -> FakeEngine:
    """What computes; a module may have one of its own."""
    return FakeEngine()


@pytest.fixture
def start(seed_folder: Path, engine: FakeEngine) -> Iterator[Start]:
    """Start a service with the settings given, on `engine`."""
    with ExitStack() as running:

        def serve(**values: object) -> httpx.Client:
            settings = Settings(**{"num_workers": 1, **values})
            return running.enter_context(
                serving(settings, lambda settings: make_service(seed_folder, settings, engine))
            )

        yield serve
        engine.open.set()
