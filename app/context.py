"""What a route knows of the request that it answers."""

from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from app.body import FORM, IMAGE, JSON, read_body
from app.fields import RawFields
from app.metrics import Metrics
from app.served import Model
from app.service import Service
from app.settings import Settings
from app.telemetry import Trace

T = TypeVar("T")


class Context:
    """One request, with the service that is to answer it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.service: Service = request.app.state.service
        self.request_id: str = request.state.request_id
        self._trace: Trace = request.state.trace
        self.record: Callable[[str, float], None] = self._trace.timings.record
        self.root_path: str = request.scope.get("root_path", "")

    async def payload(
        self, check: Callable[[RawFields, Settings], T], accepts: tuple[str, ...] = (JSON, FORM, IMAGE)
    ) -> T:
        """Read the body and check its fields; raises as `read_body` and `check` do."""
        start = perf_counter()
        settings = self.settings
        payload = await read_body(
            self.request,
            lambda fields: check(fields, settings),
            accepts=accepts,
            max_bytes=settings.max_body_bytes,
            spool_bytes=settings.spool_bytes,
            max_json_values=settings.max_json_values,
            timeout_seconds=settings.request_timeout_seconds,
        )
        self.record("read", perf_counter() - start)
        return payload

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
        """The model, or the model of the gallery, that the path names; the default where it names none.

        Noted for the log."""
        named = self.request.path_params
        model = self.service.model(named.get("name") or named.get("gallery"), named.get("version"))
        self._trace.model = model.name
        self._trace.version = model.version
        return model


async def _context(request: Request) -> Context:
    # A coroutine: FastAPI hands anything else, a class too, to a thread, which costs a busy service milliseconds.
    return Context(request)


ContextDep = Annotated[Context, Depends(_context)]
