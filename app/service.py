"""The models that are served, each with its gallery: from a checked request to an answer.

Knows nothing of HTTP."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from app.call import Call
from app.checkpoints import Checkpoints, Source
from app.lifecycle import Lifecycle
from app.payload import Inputs, PredictRequest, SearchRequest
from app.pipeline import Pipeline
from app.poller import Poller
from app.registry import Registry
from app.remote import Fetcher, RemoteImage
from app.served import Answer, Model
from app.settings import Settings
from models.config import MODALITIES
from models.errors import InputError
from retrieval.errors import QueryError
from retrieval.gallery import DEFAULT_TARGET, Gallery, Match, Query


class Service:
    """The models of a registry behind one queue and one set of workers, so that they do not contend for cores."""

    def __init__(
        self,
        models: Sequence[Model],
        settings: Settings,
        source: Source | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        """Prepare, without starting a thread.

        Args:
            models: loaded; the first is the default, and the first of each name its current version.
            settings: of everything.
            source: where further versions are found; the folder of the settings where None.
            fetcher: gets images by their URL; as the settings allow where None.
        """
        self.settings = settings
        self._fetcher = fetcher or Fetcher(settings)
        self.started = False
        self.draining = False
        self.pipeline = Pipeline(settings, settings.workers(on_cpu=all(model.on_cpu for model in models)))
        self.source = source or Checkpoints(settings)
        fixed = [(name, version) for name, version in settings.wanted_models if version is not None]
        self.registry = Registry(models, kept=fixed)
        self.lifecycle = Lifecycle(
            self.registry,
            self.source,
            root=settings.checkpoints,
            load_seconds=settings.load_timeout_seconds,
            answer_seconds=settings.stuck_seconds,
        )
        self._polling: asyncio.Task[None] | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """See `Registry.models`."""
        return self.registry.models

    async def start(self) -> None:
        """Start the workers and run one real inference for each model.

        Raises:
            Exception: whatever the engine raises; such a service must not be called ready.
        """
        self.pipeline.start()
        for model in self.models:
            await self.pipeline.warm_up(model)
        if self.settings.poll_seconds:
            followed = {name for name, version in self.settings.wanted_models if version is None}
            poller = Poller(self.registry, self.lifecycle, self.source, followed if self.settings.models else None)
            self._polling = asyncio.create_task(poller.run(self.settings.poll_seconds))
        self.started = True

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        self.draining = True
        if self._polling is not None:
            self._polling.cancel()
        await asyncio.gather(self.lifecycle.close(), self.pipeline.close())

    async def ready(self) -> bool:
        """Whether requests should come here. After a failure of an engine, one more inference of it decides.

        And models that do not answer are read anew, in the background.
        """
        if not self.started or self.draining:
            return False
        failed = [model for model in self.models if (model.name, model.version) in self.pipeline.failed]
        if failed:
            self.lifecycle.recover_soon()
        for model in failed:
            try:
                async with asyncio.timeout(self.settings.stuck_seconds):
                    await self.pipeline.warm_up(model)
            except Exception:  # any reason is reason enough
                return False
        return True

    def model(self, name: str | None = None, version: str | None = None) -> Model:
        """See `Registry.get`."""
        return self.registry.get(name, version)

    async def predict(self, model: Model, request: PredictRequest, call: Call) -> Answer:
        """Classify the inputs, and search the model's gallery for what is like them.

        Raises:
            InputError: inputs that the model does not know or that cannot be decoded, another gallery, or a
                coverage that the model has no prediction sets for.
            QueryError: a target that the gallery does not have.
            QueueFullError: too many requests wait.
            TimeoutError: past the deadline.
        """
        if request.gallery not in (None, model.name):
            raise InputError(
                "gallery", f"this model searches {model.name!r}. Name that one, or leave the field out."
            )
        return await self._answer(model, request.inputs, request.search, call, request.coverage)

    async def embed(self, model: Model, inputs: Inputs, call: Call) -> Answer:
        """Only the embedding counts; raises as `predict` does."""
        return await self._answer(model, inputs, None, call)

    async def search(self, model: Model, request: SearchRequest, call: Call) -> Sequence[Match]:
        """Search the model's gallery by inputs, a vector, or an item of it; raises as `predict` does."""
        gallery = model.some_gallery()
        if request.inputs is not None:
            return (await self._answer(model, request.inputs, request.search, call)).matches
        return await self.pipeline.search(partial(_search_by_vector, gallery, request), call)

    async def _answer(
        self, model: Model, inputs: Inputs, search: Query | None, call: Call, coverage: float | None = None
    ) -> Answer:
        _check_known(model, inputs, search)
        if coverage is not None:
            given = [name for name in MODALITIES if getattr(inputs, name) is not None]
            model.predictor.check_coverage(given)
        if isinstance(inputs.image, RemoteImage):
            self.pipeline.admit(call)  # or the fetch would be for nothing
            await self._fetcher.fill(inputs.image, call.record, call.remaining_seconds())
        return await self.pipeline.run(model, inputs, search, call)


def _check_known(model: Model, inputs: Inputs, search: Query | None) -> None:
    for name in ("image", "text"):
        if getattr(inputs, name) is not None and name not in model.modalities:
            raise InputError(
                name, f"the model {model.name!r} does not know it. It knows: {', '.join(model.modalities)}."
            )
    targets = model.gallery.targets if model.gallery is not None else (DEFAULT_TARGET, *model.modalities)
    if search is not None and search.target not in targets:
        raise QueryError("target", f"no vectors named {search.target[:60]!r}. There are: {', '.join(targets)}.")


def _search_by_vector(gallery: Gallery, request: SearchRequest) -> Sequence[Match]:
    """Neighbours of a vector, or of an item, which is not its own."""
    search, query_E = request.search, request.vector
    if request.like is not None:
        query_E = gallery.vector(request.like, search.target)
        if query_E is None:
            raise QueryError(
                "like", f"no item {request.like[:60]!r} with a vector {search.target!r}. Name another."
            )
        search = replace(search, exclude=request.like)
    if query_E is None:
        raise ValueError("a search needs a vector or an item")
    return gallery.search(query_E, search)
