"""`Client` for asyncio, and but for `transcribe_live` for trio too: the same methods, awaited."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any, Self, TypeVar, Unpack

import anyio
import httpx

from intermodal_client import calls
from intermodal_client.answers import (
    Classification,
    Embedding,
    GeneratedText,
    Item,
    ItemPage,
    LiveResult,
    Prediction,
    SearchResult,
    TextPiece,
    Transcript,
)
from intermodal_client.calls import Call
from intermodal_client.descriptions import Gallery, Model
from intermodal_client.errors import ProblemError, UnavailableError
from intermodal_client.fields import (
    ClassifyFields,
    File,
    GenerateFields,
    Inputs,
    ItemChange,
    ItemFields,
    LiveFields,
    PredictFields,
    SearchFields,
    TranscribeFields,
)
from intermodal_client.policy import Policy
from intermodal_client.streaming import stream_text_async

T = TypeVar("T")


class AsyncClient:
    """Asks one service, from one event loop; an asynchronous context manager, or closed by `close`.

    Files are read before they are sent; hand over bytes where a path's file system may be slow. Every method
    raises ProblemError, by its kind, for what the service refuses, and TransportError where no answer comes. A
    refusal for want of room (429, 503) is tried again after the time that it names.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        max_retries: int = 3,
        max_wait_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `Policy`; `transport` is httpx's, for proxies, certificates and tests."""
        self._policy = Policy(
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_wait_seconds=max_wait_seconds,
        )
        self._http = httpx.AsyncClient(base_url=base_url, headers=self._policy.headers, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """What a call of `intermodal_client.calls` is answered."""
        attempt = 0
        while True:
            error: Exception
            try:
                answer = await self._http.request(**self._policy.options(call))
            except httpx.TransportError as fault:
                error, pause = self._policy.fault(fault, call, attempt)
            else:
                if answer.is_success:
                    return call.parse(answer)
                error, pause = self._policy.refusal(answer, attempt)
            if pause is None:
                raise error
            await anyio.sleep(pause)
            attempt += 1

    async def predict(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[PredictFields]
    ) -> Prediction:
        """Classify what is given, and find items of the gallery like it."""
        return await self.send(calls.predict(fields, model, version))

    async def predict_batch(self, items: Iterable[PredictFields]) -> list[Prediction | ProblemError]:
        """Predict many items: for each, in order, what was found, or why it was refused."""
        return await self.send(calls.predict_batch(items))

    async def embed(self, **inputs: Unpack[Inputs]) -> Embedding:
        """One vector for what is given, in the space that all modalities share."""
        return await self.send(calls.embed(inputs))

    async def classify(self, labels: Sequence[str], **fields: Unpack[ClassifyFields]) -> Classification:
        """Score what is given against labels that no head was trained for."""
        return await self.send(calls.classify({"labels": list(labels), **fields}))

    async def transcribe(
        self,
        audio: File,
        *,
        model: str | None = None,
        version: int | None = None,
        **fields: Unpack[TranscribeFields],
    ) -> Transcript:
        """Write down what is said in a recording."""
        return await self.send(calls.transcribe({"audio": audio, **fields}, model, version))

    def transcribe_live(
        self, samples: Iterable[bytes] | AsyncIterable[bytes], **fields: Unpack[LiveFields]
    ) -> AsyncIterator[LiveResult]:
        """What is said in a stream, while it is said. For asyncio only.

        Needs the extra `live` (websockets).
        """
        from intermodal_client.live import transcribe_live_async

        return transcribe_live_async(str(self._http.base_url), self._policy, samples, fields)

    async def generate(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[GenerateFields]
    ) -> GeneratedText:
        """Write a text about an image, or on from a text."""
        return await self.send(calls.generate(fields, model, version))

    def generate_stream(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[GenerateFields]
    ) -> AsyncIterator[TextPiece]:
        """`generate` while it is written: a piece at a time, the last with the whole."""
        return stream_text_async(self._http, self._policy, calls.generate(fields, model, version, stream=True))

    async def search(self, *, gallery: str | None = None, **fields: Unpack[SearchFields]) -> SearchResult:
        """Find items of a gallery, of the default model's own where none is named."""
        return await self.send(calls.search(fields, gallery))

    async def put_item(self, item_id: str, *, gallery: str | None = None, **fields: Unpack[ItemFields]) -> Item:
        """Write an item, whole; it is on the disk once this returns."""
        return await self.send(calls.put_item(item_id, fields, gallery))

    async def get_item(self, item_id: str, *, gallery: str | None = None) -> Item:
        """Get an item."""
        return await self.send(calls.get_item(item_id, gallery))

    async def delete_item(self, item_id: str, *, gallery: str | None = None) -> None:
        """Delete an item."""
        await self.send(calls.delete_item(item_id, gallery))

    async def get_image(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's image: the file that was sent, or the thumbnail where only that is kept."""
        return await self.send(calls.get_file(item_id, "image", gallery))

    async def get_thumbnail(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """A small JPEG of an item's image."""
        return await self.send(calls.get_file(item_id, "thumbnail", gallery))

    async def get_audio(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's recording: the file that was sent."""
        return await self.send(calls.get_file(item_id, "audio", gallery))

    async def get_sensors(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's readings, as JSON: what `sensors` takes."""
        return await self.send(calls.get_file(item_id, "sensors", gallery))

    async def change_items(
        self, changes: Iterable[ItemChange], *, gallery: str | None = None
    ) -> list[str | ProblemError]:
        """Write and delete many items: for each, in order, its id, or why it was refused."""
        return await self.send(calls.change_items(changes, gallery))

    async def item_page(
        self, *, gallery: str | None = None, limit: int = 100, after: str | None = None
    ) -> ItemPage:
        """A page of items, in the order of their ids."""
        return await self.send(calls.page(gallery, limit, after))

    async def items(self, *, gallery: str | None = None, page_size: int = 100) -> AsyncIterator[Item]:
        """All items, in the order of their ids, a page at a time."""
        after: str | None = None
        while True:
            page = await self.item_page(gallery=gallery, limit=page_size, after=after)
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def galleries(self) -> list[Gallery]:
        """The galleries."""
        return await self.send(calls.galleries())

    async def get_gallery(self, name: str) -> Gallery:
        """Describe a gallery."""
        return await self.send(calls.get_gallery(name))

    async def create_gallery(self, name: str, *, model: str | None = None) -> Gallery:
        """Make a gallery of a model, of the default one where none is named; an existing one stays as it is."""
        return await self.send(calls.create_gallery(name, model))

    async def delete_gallery(self, name: str) -> None:
        """Delete a gallery with all of its items."""
        await self.send(calls.delete_gallery(name))

    async def models(self) -> list[Model]:
        """Every version that is loaded, the default model first."""
        return await self.send(calls.models())

    async def get_model(self, name: str) -> Model:
        """Describe the current version of a model."""
        return await self.send(calls.get_model(name))

    async def load(
        self, name: str, *, version: int | None = None, current: bool | None = None, keep: bool | None = None
    ) -> Model:
        """Load a version, the newest on the disk where none is named."""
        return await self.send(calls.load(name, {"version": version, "current": current, "keep": keep}))

    async def unload(self, name: str, *, version: int | None = None) -> list[Model]:
        """Unload a version, or all of a model; what is left."""
        return await self.send(calls.unload(name, version))

    async def is_live(self) -> bool:
        """Whether the process can do anything at all."""
        return await self._is("live")

    async def is_ready(self) -> bool:
        """Whether requests should come here now."""
        return await self._is("ready")

    async def is_started(self) -> bool:
        """Whether loading and warming up are done."""
        return await self._is("startup")

    async def _is(self, what: str) -> bool:
        # Not `send`: an answer of 503 is the answer, and is not waited for.
        call: Call[Any] = calls.health(what)
        try:
            answer = await self._http.request(**self._policy.options(call))
        except httpx.TransportError:
            return False
        if answer.is_success:
            return True
        problem, _ = self._policy.refusal(answer, self._policy.max_retries)
        if isinstance(problem, UnavailableError):
            return False
        raise problem
