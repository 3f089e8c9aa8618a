"""What tests of several packages share: a service with a fake engine, behind a real server."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from app.service import Service
from app.settings import Settings
from tests.fakes import make_service, serving

# A time is measured in benchmarks, and asserted nowhere: a busy machine is no fault of the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

CLOCK = pytest.mark.flaky(reruns=2, reruns_delay=1)
"""A machine that stands still for a second passes a limit of half of one. Where that limit is the subject,
no waiting for a condition helps. Each further try is told of in pytest's summary (decision 38)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of the clock another try; no other test has one."""
    for item in items:
        if item.get_closest_marker("clock") is not None:
            item.add_marker(CLOCK)


# What `python -m app doctor` wrote here must not change what is tested, in processes that tests start neither.
os.environ["INTERMODAL_SETTINGS_FILE"] = os.devnull
# Tests that write galleries keep them in folders of their own; the others leave no ./data behind.
os.environ["INTERMODAL_GALLERIES"] = "seed"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C reaches what tests start, even where a shell that runs them in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own_logs() -> Iterator[None]:
    """Lets a test configure the process's logs, and puts them back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery")


@pytest.fixture(scope="session")
def client(seed_folder: Path) -> Iterator[httpx.Client]:
    """A client of a service with ordinary settings, which no test may break."""

    def load(settings: Settings) -> Service:
        return make_service(seed_folder, settings)

    with serving(Settings(num_workers=2), load) as client:
        yield client
