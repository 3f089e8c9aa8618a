"""What lives from start to stop: the models that are served, their galleries, and what answers by them.

Knows nothing of HTTP."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

from app.answering import Answering
from app.capabilities import first_able, generates, transcribes
from app.checkpoints import Checkpoints, Source
from app.galleries import Galleries
from app.lifecycle import Lifecycle
from app.live import Streams
from app.pipeline import Pipeline
from app.poller import Poller
from app.reembedding import Reembedding
from app.registry import Registry
from app.served import Model
from app.settings import Settings
from retrieval.store import Store

if TYPE_CHECKING:
    from app.remote import Fetcher

_LOG = logging.getLogger(__name__)


class Service:
    """The models of a registry behind one queue and one set of workers, so that they do not contend for cores."""

    def __init__(
        self,
        models: Sequence[Model],
        settings: Settings,
        source: Source | None = None,
        fetcher: "Fetcher | None" = None,
        store: Store | None = None,
    ) -> None:
        """Prepare, without starting a thread.

        Args:
            models: loaded; the first is the default, and the first of each name its current version.
            settings: of everything.
            source: where further versions are found; the folder of the settings where None.
            fetcher: gets images by their URL; as the settings allow where None.
            store: where galleries are kept; None where they only are read.
        """
        self.settings = settings
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
        self.streams = Streams(settings.max_streams)
        self.galleries = Galleries(self.registry, store)
        self.answering = Answering(self.pipeline, self.galleries, settings, fetcher)
        self._reembedding = Reembedding(self.pipeline, self.galleries)
        self.lifecycle.before_serving = self._reembedding.fill
        self._tasks: set[asyncio.Task[None]] = set()

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
            self._start(poller.run(self.settings.poll_seconds))
        for model in self.models:
            self._start(self._fill(model))
        self.started = True

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.lifecycle.close(), self.pipeline.close())
        await self.galleries.close()

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

    def transcriber(self, name: str | None = None) -> Model:
        """The model of that name; without one, the first that transcribes.

        Raises:
            NotFoundError: no such model, or none that transcribes.
        """
        return first_able(self.registry, name, transcribes, "transcribes. Serve one with a head of transcripts.")

    def generator(self, name: str | None = None) -> Model:
        """The model of that name; without one, the first that writes texts.

        Raises:
            NotFoundError: no such model, or none that writes.
        """
        return first_able(self.registry, name, generates, "writes texts. Serve one with a head of captions.")

    async def _fill(self, model: Model) -> None:
        try:
            await self._reembedding.fill(model)
        except Exception:  # what it could not embed stays pending, and the next start tries again
            _LOG.exception("the galleries of %s could not be filled", model.name)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
