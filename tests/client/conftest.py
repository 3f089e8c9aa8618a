"""Both clients behind the same words, so that every test is of both."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from intermodal_client import AsyncClient, Client

from tests.contract.conftest import engine, start  # noqa: F401 - fixtures

MakeClient = Callable[..., Client]


class Waiting:
    """An AsyncClient, waited for: each method gives its result, and what yields gives a list."""

    def __init__(self, portal: BlockingPortal, **options: Any) -> None:
        self._portal = portal
        self._client = portal.call(partial(AsyncClient, **options))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def result(*arguments: Any, **fields: Any) -> Any:
            found = method(*arguments, **fields)
            if inspect.isawaitable(found):
                return await found
            return [one async for one in found]

        return lambda *arguments, **fields: self._portal.call(partial(result, *arguments, **fields))


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes clients of either kind, which are closed in the end."""
    with ExitStack() as stack:
        if request.param == "sync":
            yield lambda **options: stack.enter_context(Client(**options))
            return
        portal = stack.enter_context(start_blocking_portal())

        def waiting(**options: Any) -> Any:
            client = Waiting(portal, **options)
            stack.callback(client.close)
            return client

        yield waiting
