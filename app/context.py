"""What a route knows of the request that it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from time import perf_counter
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from app.admission import call_of
from app.body import BARE, FORM, JSON, read_body, read_bytes
from app.call import Call
from app.fields import RawFields
from app.galleries import Bound
from app.metrics import Metrics
from app.served import Model
from app.service import Service
from app.settings import Settings
from app.telemetry import Trace
from models.errors import InputError

T = TypeVar("T")


class Context:
    """One request, with the service that is to answer it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.service: Service = request.app.state.service
        self.request_id: str = request.state.request_id
        self._trace: Trace = request.state.trace
        self.root_path: str = request.scope.get("root_path", "")

    async def payload(
        self, check: Callable[[RawFields, Settings], T], accepts: tuple[str, ...] = (JSON, FORM, *BARE)
    ) -> T:
        """Read the body and check its fields; raises as `read_body` and `check` do.

        Raises:
            TimeoutError: the request's time is over.
        """
        settings = self.settings
        with self._reading() as remaining_seconds:
            return await read_body(
                self.request,
                lambda fields: check(fields, settings),
                accepts=accepts,
                max_bytes=settings.max_body_bytes,
                spool_bytes=settings.spool_bytes,
                max_json_values=settings.max_json_values,
                max_form_parts=settings.max_form_parts,
                timeout_seconds=remaining_seconds,
            )

    async def raw_payload(self, check: Callable[[bytes, Settings], T]) -> T:
        """`payload` of a body of whatever media type, which `check` takes as it came."""
        settings = self.settings
        with self._reading() as remaining_seconds:
            return await read_bytes(
                self.request,
                lambda body: check(body, settings),
                max_bytes=settings.max_body_bytes,
                timeout_seconds=remaining_seconds,
            )

    @contextmanager
    def _reading(self) -> Iterator[float]:
        """Note the time that reading takes; yields how long it may."""
        start, remaining_seconds = perf_counter(), self.call.remaining_seconds()
        if remaining_seconds <= 0:
            raise TimeoutError
        yield remaining_seconds
        self._trace.timings.record("read", perf_counter() - start)

    async def optional_payload(
        self, check: Callable[[RawFields, Settings], T], accepts: tuple[str, ...] = (JSON,)
    ) -> T:
        """`payload` of a body that may be left out."""
        headers = self.request.headers
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return await self.payload(check, accepts)
        if self.request.url.query:
            raise InputError("query", "fields belong in the body here. Send them as JSON.")
        return check(RawFields({}), self.settings)

    @property
    def call(self) -> Call:
        """See `call_of`."""
        return call_of(self.request.scope, self.settings)

    @asynccontextmanager
    async def while_connected(self) -> AsyncIterator[None]:
        """Cancel what is inside when the client leaves: nobody would read the answer. Once the body is read.

        Raises:
            ClientDisconnect: it left.
        """
        work, gone = asyncio.current_task(), False

        async def watch() -> None:
            nonlocal gone
            while (await self.request.receive())["type"] != "http.disconnect":
                pass
            gone = True
            if work is not None:
                work.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if not gone:
                raise  # the server stops
            raise ClientDisconnect from None
        finally:
            watcher.cancel()

    @property
    def settings(self) -> Settings:
        """The service's settings."""
        return self.service.settings

    @property
    def metrics(self) -> Metrics:
        """What is counted, of all requests."""
        metrics: Metrics = self.request.app.state.metrics
        return metrics

    @cached_property
    def model(self) -> Model:
        """The model that the path names; the default where it names none. Noted for the log."""
        named = self.request.path_params
        return self.note(self.service.model(named.get("name"), named.get("version")))

    @cached_property
    def bound(self) -> Bound:
        """The gallery that the path names, with its model; the default model's where it names none. Noted too."""
        bound = self.service.galleries.get(self.request.path_params.get("gallery"))
        self.note(bound.model)
        return bound

    def note(self, model: Model) -> Model:
        """Note for the log which model answers."""
        self._trace.model = model.name
        self._trace.version = model.version
        return model


async def _context(request: Request) -> Context:
    # A coroutine: FastAPI hands anything else, a class too, to a thread, which costs a busy service milliseconds.
    return Context(request)


ContextDep = Annotated[Context, Depends(_context)]
