"""What a route knows of the request that it answers."""

from collections.abc import Callable
from time import perf_counter
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from app.body import FORM, IMAGE, JSON, read_body
from app.fields import RawFields
from app.served import Model
from app.service import Service
from app.settings import Settings

T = TypeVar("T")


class Context:
    """One request, with the service that is to answer it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.service: Service = request.app.state.service
        self.request_id: str = request.state.request_id
        self.record: Callable[[str, float], None] = request.state.timings.record
        self.root_path: str = request.scope.get("root_path", "")

    async def payload(
        self, check: Callable[[RawFields, Settings], T], accepts: tuple[str, ...] = (JSON, FORM, IMAGE)
    ) -> T:
        """Read the body and check its fields; raises as `read_body` and `check` do."""
        start = perf_counter()
        settings = self.service.settings
        payload = await read_body(
            self.request,
            lambda fields: check(fields, settings),
            accepts=accepts,
            max_bytes=settings.max_body_bytes,
            timeout_seconds=settings.request_timeout_seconds,
        )
        self.record("read", perf_counter() - start)
        return payload

    @property
    def model(self) -> Model:
        """The model, or the model of the gallery, that the path names; the default where it names none."""
        named = self.request.path_params
        return self.service.model(named.get("name") or named.get("gallery"), named.get("version"))


ContextDep = Annotated[Context, Depends(Context)]
