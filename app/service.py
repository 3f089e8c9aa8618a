"""The models that are served, each with its gallery: from a checked request to an answer.

Knows nothing of HTTP."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from app.call import Call
from app.capabilities import check_generates, check_known, check_transcribes, first_able, generates, transcribes
from app.checkpoints import Checkpoints, Source
from app.desk import Written
from app.explaining import explain
from app.galleries import Bound, Galleries
from app.generation import Text
from app.lifecycle import Lifecycle
from app.live import Streams
from app.payload import Inputs, PredictRequest, SearchRequest
from app.pipeline import Pipeline
from app.poller import Poller
from app.reembedding import Reembedding
from app.registry import Registry
from app.remote_file import RemoteFile
from app.searches import check_target, no_target, search_by_vector, search_gallery
from app.served import Answer, Model
from app.settings import Settings
from app.stages import Raw, SearchBy
from models.caption import Writing
from models.sample import Sample
from models.transcript import Decoding, Transcript
from retrieval.gallery import Floats, Gallery, Match, Query
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
        self._fetcher = fetcher or _fetcher(settings)
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

    async def predict(self, model: Model, request: PredictRequest, call: Call) -> Answer:
        """Classify the inputs, and search the model's gallery for what is like them.

        Raises:
            InputError: inputs that the model does not know or that cannot be decoded, another gallery, or a
                coverage that the model has no prediction sets for.
            QueryError: a target that the gallery does not have.
            QueueFullError: too many requests wait.
            TimeoutError: past the deadline.
        """
        gallery = self.galleries.of(model, request.gallery)
        if request.caption:
            check_generates(model, "caption")
        answer = await self._answer(model, request.inputs, gallery, request.search, call, request)
        return answer if request.gallery is None else replace(answer, gallery=request.gallery)

    async def embed(self, model: Model, inputs: Inputs, call: Call) -> Answer:
        """Only the embedding counts; raises as `predict` does."""
        return await self._answer(model, inputs, None, None, call)

    async def vectors(self, model: Model, inputs: Inputs, call: Call) -> Mapping[str, Floats]:
        """What a gallery keeps of an item: see `Pipeline.vectors`; raises as `predict` does."""
        check_known(model, inputs)
        await self._fetch(inputs, call)
        return await self.pipeline.vectors(model, inputs, call)

    async def transcribe(
        self, model: Model, inputs: Inputs | Sample, decoding: Decoding, call: Call
    ) -> tuple[Transcript, float]:
        """What is said in a recording, and its length in seconds; raises as `predict` does.

        Raises:
            InputError: the model has no head that transcribes.
        """
        check_transcribes(model)
        if isinstance(inputs, Inputs):
            await self._fetch(inputs, call)
        return await self.pipeline.transcribe(model, inputs, decoding, call)

    def transcriber(self, name: str | None = None) -> Model:
        """The model of that name; without one, the first that transcribes.

        Raises:
            NotFoundError: no such model, or none that transcribes.
        """
        return first_able(self.registry, name, transcribes, "transcribes. Serve one with a head of transcripts.")

    async def generate(
        self,
        model: Model,
        inputs: Inputs,
        options: Mapping[str, Any],
        call: Call,
        hear: Callable[[str], None] | None = None,
    ) -> Written:
        """Write a text about an image, or on from a text; raises as `predict` does.

        Args:
            model: that writes.
            inputs: the image, the text to continue, or both.
            options: by field of `Writing`.
            call: whose.
            hear: takes each new piece.

        Raises:
            InputError: the model writes no texts, or not such.
        """
        check_generates(model)
        if inputs.image is not None:
            check_known(model, Inputs(image=inputs.image))
        await self._fetch(inputs, call, self.pipeline.generation.admit)
        text = Text(self._bounded(model, Writing(**options)), inputs.text or "", hear)
        return await self.pipeline.generation.write(Raw(model, inputs, "text"), text, call)

    def _bounded(self, model: Model, writing: Writing) -> Writing:
        """Of as many tokens as the settings allow, where the model's own number is more."""
        head, limit = model.predictor.config.network.caption, self.settings.max_generated_tokens
        if writing.max_tokens is None and head is not None and head.max_tokens > limit:
            writing = replace(writing, max_tokens=limit)
        return writing

    def generator(self, name: str | None = None) -> Model:
        """The model of that name; without one, the first that writes texts.

        Raises:
            NotFoundError: no such model, or none that writes.
        """
        return first_able(self.registry, name, generates, "writes texts. Serve one with a head of captions.")

    async def search(self, bound: Bound, request: SearchRequest, call: Call) -> Sequence[Match]:
        """Search a gallery by inputs, a vector, or an item of it; raises as `predict` does."""
        model, gallery = bound.model, bound.gallery
        check_target(gallery, request.search.target)
        if request.inputs is None:
            return await self.pipeline.search(partial(search_by_vector, gallery, request), call)
        if request.weights is None:
            return (await self._answer(model, request.inputs, gallery, request.search, call)).matches
        vectors = await self.vectors(model, request.inputs, call)
        mean_E = np.sum([weight * vectors[name] for name, weight in request.weights.items()], axis=0)
        return await self.pipeline.search(partial(gallery.search, mean_E, request.search), call)

    async def _answer(
        self,
        model: Model,
        inputs: Inputs,
        gallery: Gallery | None,
        query: Query | None,
        call: Call,
        wanted: PredictRequest | None = None,
    ) -> Answer:
        check_known(model, inputs)
        search: SearchBy | None = None
        if query is not None and gallery is not None:
            check_target(gallery, query.target)
            search = partial(search_gallery, gallery, query)
        elif query is not None and query.target not in model.embedding.targets:
            raise no_target(query.target, model.embedding.targets)
        if wanted is not None and wanted.coverage is not None:
            model.predictor.check_coverage(inputs.modalities)
        await self._fetch(inputs, call)
        text = Text(self._bounded(model, Writing())) if wanted is not None and wanted.caption else None
        if wanted is not None and wanted.explain:
            # On a CPU a fuller batch saves next to nothing, and whoever comes next waits for its end.
            at_once = self.pipeline.num_workers if model.on_cpu else self.settings.max_batch_items
            return await explain(self.pipeline, model, inputs, search, call, self.settings.detail, at_once, text)
        return await self.pipeline.run(model, inputs, search, call, text)

    async def _fetch(self, inputs: Inputs, call: Call, admit: Callable[[Call], None] | None = None) -> None:
        for file in inputs.files:
            if isinstance(file, RemoteFile) and not len(file) and self._fetcher is not None:
                (admit or self.pipeline.admit)(call)  # or the fetch would be for nothing
                await self._fetcher.fill(file, call.record, call.remaining_seconds())

    async def _fill(self, model: Model) -> None:
        try:
            await self._reembedding.fill(model)
        except Exception:  # what it could not embed stays pending, and the next start tries again
            _LOG.exception("the galleries of %s could not be filled", model.name)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fetcher(settings: Settings) -> "Fetcher | None":
    """What fetches files by URL; None where the settings allow none, for it takes long to import."""
    if not settings.allowed_hosts:
        return None
    from app.remote import Fetcher

    return Fetcher(settings)
