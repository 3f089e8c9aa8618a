"""From a checked request to its answer: looks up what it names, fetches what it links; the pipe does the rest.

Knows nothing of HTTP, nor of how models come and go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from app.call import Call
from app.capabilities import check_generates, check_known, check_transcribes
from app.desk import Written
from app.explaining import explain
from app.galleries import Bound, Galleries
from app.generation import Text
from app.payload import Inputs, PredictRequest, SearchRequest
from app.pipeline import Pipeline
from app.remote_file import RemoteFile
from app.searches import check_target, no_target, search_by_vector, search_gallery
from app.served import Answer, Model
from app.settings import Settings
from app.stages import Raw, SearchBy
from models.caption import Writing
from models.sample import Sample
from models.transcript import Decoding, Transcript
from retrieval.gallery import Floats, Gallery, Match, Query

if TYPE_CHECKING:
    from app.remote import Fetcher


class Answering:
    """What can be asked of a model and its galleries."""

    def __init__(
        self, pipeline: Pipeline, galleries: Galleries, settings: Settings, fetcher: "Fetcher | None" = None
    ) -> None:
        """Prepare.

        Args:
            pipeline: does the work.
            galleries: that may be searched.
            settings: of everything.
            fetcher: gets files by their URL; as the settings allow where None.
        """
        self._pipeline, self._galleries, self._settings = pipeline, galleries, settings
        self._fetcher = fetcher or _fetcher(settings)

    async def predict(self, model: Model, request: PredictRequest, call: Call) -> Answer:
        """Classify the inputs, and search the model's gallery for what is like them.

        Raises:
            InputError: inputs that the model does not know or that cannot be decoded, another gallery, or a
                coverage that the model has no prediction sets for.
            QueryError: a target that the gallery does not have.
            QueueFullError: too many requests wait.
            TimeoutError: past the deadline.
        """
        gallery = self._galleries.of(model, request.gallery)
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
        return await self._pipeline.vectors(model, inputs, call)

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
        return await self._pipeline.transcribe(model, inputs, decoding, call)

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
        await self._fetch(inputs, call, self._pipeline.generation.admit)
        text = Text(self._bounded(model, Writing(**options)), inputs.text or "", hear)
        return await self._pipeline.generation.write(Raw(model, inputs, "text"), text, call)

    def _bounded(self, model: Model, writing: Writing) -> Writing:
        """Of as many tokens as the settings allow, where the model's own number is more."""
        head, limit = model.predictor.config.network.caption, self._settings.max_generated_tokens
        if writing.max_tokens is None and head is not None and head.max_tokens > limit:
            writing = replace(writing, max_tokens=limit)
        return writing

    async def search(self, bound: Bound, request: SearchRequest, call: Call) -> Sequence[Match]:
        """Search a gallery by inputs, a vector, or an item of it; raises as `predict` does."""
        model, gallery = bound.model, bound.gallery
        check_target(gallery, request.search.target)
        if request.inputs is None:
            return await self._pipeline.search(partial(search_by_vector, gallery, request), call)
        if request.weights is None:
            return (await self._answer(model, request.inputs, gallery, request.search, call)).matches
        vectors = await self.vectors(model, request.inputs, call)
        mean_E = np.sum([weight * vectors[name] for name, weight in request.weights.items()], axis=0)
        return await self._pipeline.search(partial(gallery.search, mean_E, request.search), call)

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
            at_once = self._pipeline.num_workers if model.on_cpu else self._settings.max_batch_items
            return await explain(self._pipeline, model, inputs, search, call, self._settings.detail, at_once, text)
        return await self._pipeline.run(model, inputs, search, call, text)

    async def _fetch(self, inputs: Inputs, call: Call, admit: Callable[[Call], None] | None = None) -> None:
        for file in inputs.files:
            if isinstance(file, RemoteFile) and not len(file) and self._fetcher is not None:
                (admit or self._pipeline.admit)(call)  # or the fetch would be for nothing
                await self._fetcher.fill(file, call.record, call.remaining_seconds())


def _fetcher(settings: Settings) -> "Fetcher | None":
    """What fetches files by URL; None where the settings allow none, for it takes long to import."""
    if not settings.allowed_hosts:
        return None
    from app.remote import Fetcher

    return Fetcher(settings)
