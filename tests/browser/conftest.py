"""A real Chromium, headless, and the page of a service that computes visibly."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from app.service import Service
from app.settings import Settings
from tests.fakes import make_hearing_service, serving

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 15_000

Open = Callable[..., Page]
Load = Callable[[Settings], Service]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all tests of the page; a context each keeps them apart."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium on the PATH ({', '.join(NAMES)}). On Debian: apt-get install chromium")
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which does not work for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open the page at an address. Whatever it logs as an error, or asks of another host, fails the test."""
    faults: list[str] = []
    with ExitStack() as contexts:

        def open_page(address: str, *, expect: tuple[str, ...] = (), **options: Any) -> Page:
            context = browser.new_context(**options)
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            host = "/".join(address.split("/")[:3])

            def logged(message: ConsoleMessage) -> None:
                if message.type in ("error", "warning") and not any(part in message.text for part in expect):
                    faults.append(message.text)

            page.on("console", logged)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on(
                "request",
                lambda request: None if request.url.startswith((host, "blob:")) else faults.append(request.url),
            )
            page.goto(address)
            return page

        yield open_page
    assert faults == []


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose models know colours and words, and one of them loud and soft."""
    folder = tmp_path_factory.mktemp("site")
    with serving(Settings(num_workers=2), partial(make_hearing_service, folder)) as client:
        yield str(client.base_url)


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Services with settings, and models, of a test's own."""
    with ExitStack() as running:

        def serve(load: Load | None = None, **values: Any) -> str:
            settings = Settings(num_workers=1, **values)
            client = running.enter_context(serving(settings, load or partial(make_hearing_service, tmp_path)))
            return str(client.base_url)

        yield serve
