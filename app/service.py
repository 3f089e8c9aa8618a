"""The models that are served, each with its gallery: from a checked request to an answer.

    inputs ──decode, prepare──► Example ──► batch ──encode, fuse──► Prediction ──search──► Answer

Both arrows run in worker threads, off the event loop. Knows nothing of HTTP."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from app.batching import Batcher, QueueFullError
from app.cores import usable_cores
from app.errors import NotFoundError
from app.payload import Inputs, PredictRequest, Search, SearchRequest
from app.served import Answer, Model
from app.settings import Settings
from models.batch import Example
from models.config import MODALITIES
from models.errors import InputError
from models.image_guards import ImageLimits
from models.predictor import ForwardTimes, Prediction
from retrieval.errors import QueryError
from retrieval.gallery import DEFAULT_TARGET, Gallery, Item, Match, Predicate

Record = Callable[[str, float], None]
"""Takes a stage's name and its seconds; see `telemetry.Timings.record`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    model: Model
    example: Example
    search: Search | None


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    answer: Answer
    times: ForwardTimes
    search_seconds: float


class Service:
    """A fixed set of models behind one queue and one set of workers, so that they do not contend for cores."""

    def __init__(self, models: Sequence[Model], settings: Settings) -> None:
        """Prepare, without starting a thread. The first of `models` is the default."""
        self.models = tuple(models)
        self.settings = settings
        self.started = False
        self.draining = False
        self._engine_failed = False
        self._limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        self._decoder: Batcher[tuple[Model, Inputs], tuple[Example, float]] = Batcher(
            self._decode,
            name="decode",
            # Decoding takes a thirtieth of the network's time: half the cores can feed all of them.
            num_workers=max(1, usable_cores() // 2),
            max_batch_items=1,
            max_queue_items=settings.max_queue_items,
        )
        self._forward: Batcher[_Work, _Done] = Batcher(
            self._forward_batch,
            name="forward",
            num_workers=settings.workers,
            max_batch_items=settings.max_batch_items,
            max_queue_items=settings.max_queue_items,
        )

    @property
    def queues(self) -> Mapping[str, Batcher[Any, Any]]:
        """The queues by name, for whoever counts."""
        return {"decode": self._decoder, "forward": self._forward}

    async def start(self) -> None:
        """Start the workers and run one real inference for each model.

        Raises:
            Exception: whatever the engine raises; such a service must not be called ready.
        """
        self._decoder.start()
        self._forward.start()
        for model in self.models:
            await self._warm_up(model)
        self.started = True

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        self.draining = True
        await self._decoder.close()
        await self._forward.close()

    async def ready(self) -> bool:
        """Whether requests should come here. After a failure of the engine, one more inference decides.

        Not where the engine hangs: where one forward pass takes longer than a request may.
        """
        limit_seconds = self.settings.request_timeout_seconds
        if self._engine_failed and not self.draining:
            try:
                async with asyncio.timeout(limit_seconds):
                    await self._warm_up(self.models[0])
            except QueueFullError:
                pass
            except Exception:  # any reason is reason enough
                return False
        hangs = self._forward.longest_run_seconds() > limit_seconds
        return self.started and not (self.draining or self._engine_failed or hangs)

    def model(self, name: str | None = None, version: str | None = None) -> Model:
        """The model of that name (default: the default model) and version (default: the first named).

        Raises:
            NotFoundError: listing the models that there are.
        """
        for model in self.models:
            if name in (None, model.name) and version in (None, str(model.version)):
                return model
        served = ", ".join(f"{model.name} (version {model.version})" for model in self.models)
        wanted = f"{name!r}" if version is None else f"{name!r} of version {version!r}"
        raise NotFoundError(f"No model {wanted} is served here. There are: {served}.")

    async def predict(self, model: Model, request: PredictRequest, record: Record) -> Answer:
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
        return await self._answer(model, request.inputs, request.search, record, request.coverage)

    async def embed(self, model: Model, inputs: Inputs, record: Record) -> Answer:
        """Only the embedding counts; raises as `predict` does."""
        return await self._answer(model, inputs, None, record)

    async def search(self, model: Model, request: SearchRequest, record: Record) -> Sequence[Match]:
        """Search the model's gallery by inputs, a vector, or an item of it; raises as `predict` does."""
        gallery = model.some_gallery()
        if request.inputs is not None:
            matches = (await self._answer(model, request.inputs, request.search, record)).matches
        else:
            matches, seconds = await asyncio.to_thread(_search_by_vector, gallery, request)
            record("search", seconds)
        return [match for match in matches if match.score >= request.min_score]

    async def _answer(
        self, model: Model, inputs: Inputs, search: Search | None, record: Record, coverage: float | None = None
    ) -> Answer:
        _check_known(model, inputs, search)
        if coverage is not None:
            given = [name for name in MODALITIES if getattr(inputs, name) is not None]
            model.predictor.check_coverage(given)
        async with asyncio.timeout(self.settings.request_timeout_seconds):
            (example, decode_seconds), decode_wait = await self._decoder.submit((model, inputs))
            done, forward_wait = await self._forward.submit(_Work(model, example, search))
        record("decode", decode_seconds)
        record("queue", decode_wait + forward_wait)
        record("encode", done.times.encode)
        record("fuse", done.times.fuse)
        record("search", done.search_seconds)
        return done.answer

    def _decode(self, waiting: list[tuple[Model, Inputs]]) -> list[tuple[Example, float]]:
        [(model, inputs)] = waiting
        start = perf_counter()
        example = model.predictor.prepare(model.decode(inputs, self._limits))
        return [(example, perf_counter() - start)]

    def _forward_batch(self, works: list[_Work]) -> list[_Done | Exception]:
        """Run a batch, which may be of several models: one pass for each."""
        results: dict[_Work, _Done | Exception] = {}
        for model in dict.fromkeys(work.model for work in works):
            own = [work for work in works if work.model is model]
            try:
                predictions, times = model.predictor.predict_timed([work.example for work in own])
            except Exception:
                self._engine_failed = True
                raise
            self._engine_failed = False
            for work, prediction in zip(own, predictions, strict=True):
                results[work] = _search_for(work, prediction, times)
        return [results[work] for work in works]

    async def _warm_up(self, model: Model) -> None:
        (example, _), _ = await self._decoder.submit((model, model.some_inputs()))
        await self._forward.submit(_Work(model, example, Search()))


def _check_known(model: Model, inputs: Inputs, search: Search | None) -> None:
    for name in ("image", "text"):
        if getattr(inputs, name) is not None and name not in model.modalities:
            raise InputError(
                name, f"the model {model.name!r} does not know it. It knows: {', '.join(model.modalities)}."
            )
    targets = model.gallery.targets if model.gallery is not None else (DEFAULT_TARGET, *model.modalities)
    if search is not None and search.target not in targets:
        raise QueryError("target", f"no vectors named {search.target[:60]!r}. There are: {', '.join(targets)}.")


def _search_for(work: _Work, prediction: Prediction, times: ForwardTimes) -> _Done | Exception:
    """Search for a prediction's neighbours; a fault is this item's own."""
    start = perf_counter()
    search, gallery = work.search, work.model.gallery
    matches: Sequence[Match] = []
    if search is not None and gallery is not None:
        try:
            matches = gallery.search(
                prediction.embedding_E, target=search.target, top_k=search.top_k, where=search.where
            )
        except Exception as error:  # its neighbours in the batch did not cause it
            return error
    return _Done(Answer(work.model, prediction, matches), times, perf_counter() - start)


def _search_by_vector(gallery: Gallery, request: SearchRequest) -> tuple[Sequence[Match], float]:
    """Neighbours of a vector, or of an item, which is not its own; and the seconds it took."""
    start = perf_counter()
    search, query_E = request.search, request.vector
    if request.like is not None:
        query_E = gallery.vector(request.like, search.target)
        if query_E is None:
            raise QueryError(
                "like", f"no item {request.like[:60]!r} with a vector {search.target!r}. Name another."
            )
        search = replace(search, where=_other_than(request.like, search.where))
    if query_E is None:
        raise ValueError("a search needs a vector or an item")
    matches = gallery.search(query_E, target=search.target, top_k=search.top_k, where=search.where)
    return matches, perf_counter() - start


def _other_than(item_id: str, where: Predicate | None) -> Predicate:
    def passes(item: Item) -> bool:
        return item.id != item_id and (where is None or where(item))

    return passes
