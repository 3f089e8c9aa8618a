"""The application: its routes, its errors, and the service that it holds from start to stop.

`uvicorn --factory app.main:create_app` serves it; `python -m app` does the same, with more to say."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import __version__
from app.admission import TIMEOUT_HEADER, AdmissionMiddleware
from app.auth import KeyMiddleware
from app.errors import add_error_handlers
from app.intake import IntakeMiddleware
from app.loading import load_service
from app.long_answers import LongAnswerMiddleware
from app.metrics import Metrics
from app.openapi.problems import PROBLEM_RESPONSES
from app.routes import (
    classify,
    docs,
    embed,
    galleries,
    generate,
    health,
    inference,
    items,
    live,
    metrics,
    models,
    nowhere,
    openai,
    page,
    predict,
    predict_stream,
    transcribe,
)
from app.service import Service
from app.setting_groups.lists import split
from app.settings import Settings
from app.settings_reading import load_settings
from app.telemetry import TelemetryMiddleware
from app.tensor_request import HEADER as TENSOR_HEADER


def create_app(settings: Settings | None = None, *, load: Callable[[Settings], Service] = load_service) -> FastAPI:
    """Build the application; nothing is loaded before its lifespan starts.

    Args:
        settings: from the environment where None.
        load: makes the service; it runs in a thread.

    Raises:
        ConfigError: a setting in the environment is not valid.
    """
    settings = settings or load_settings(environment=os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = await asyncio.to_thread(load, settings)
        app.state.metrics.watch(service)
        try:
            await service.start()
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="Intermodal",
        description="Classify and find things by image, text, sound and sensors; write down what is said.",
        version=__version__,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # which would lead past the proxy that took a part of the path away
    )
    app.state.metrics = Metrics()
    for module in (
        predict, predict_stream, embed, classify, generate, transcribe, live, galleries, items, models, health,
        metrics, inference, openai, page, docs, nowhere,
    ):  # fmt: skip
        app.include_router(module.router)

    add_error_handlers(app)
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last added is outermost: a browser's preflight carries no key, and is answered before one is asked."""
    app.add_middleware(AdmissionMiddleware)
    app.add_middleware(LongAnswerMiddleware, max_pending_bytes=settings.max_pending_bytes)
    if settings.require_key == "all":
        app.add_middleware(KeyMiddleware, keys=settings.keys)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=split(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "X-API-Key",
                "X-Request-ID",
                TIMEOUT_HEADER,
                TENSOR_HEADER,
            ],
            expose_headers=["Retry-After", "Server-Timing", "X-Request-ID", TENSOR_HEADER],
        )
    app.add_middleware(TelemetryMiddleware, metrics=app.state.metrics, root_path=settings.root_path)
    app.add_middleware(IntakeMiddleware, settings=settings)
