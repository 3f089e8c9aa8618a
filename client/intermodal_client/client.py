"""A client that waits for its answers. `AsyncClient` has the same methods."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, Unpack

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
from intermodal_client.streaming import stream_text

T = TypeVar("T")


class Client:
    """Asks one service. Safe to share by threads; a context manager, or closed by `close`.

    Every method raises ProblemError, by its kind, for what the service refuses, and TransportError where no answer
    comes. A refusal for want of room (429, 503) is tried again after the time that it names.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        max_retries: int = 3,
        max_wait_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """See `Policy`; `transport` is httpx's, for proxies, certificates and tests."""
        self._policy = Policy(
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_wait_seconds=max_wait_seconds,
        )
        self._http = httpx.Client(base_url=base_url, headers=self._policy.headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """What a call of `intermodal_client.calls` is answered."""
        attempt = 0
        while True:
            error: Exception
            try:
                answer = self._http.request(**self._policy.options(call))
            except httpx.TransportError as fault:
                error, pause = self._policy.fault(fault, call, attempt)
            else:
                if answer.is_success:
                    return call.parse(answer)
                error, pause = self._policy.refusal(answer, attempt)
            if pause is None:
                raise error
            time.sleep(pause)
            attempt += 1

    def predict(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[PredictFields]
    ) -> Prediction:
        """Classify what is given, and find items of the gallery like it."""
        return self.send(calls.predict(fields, model, version))

    def predict_batch(self, items: Iterable[PredictFields]) -> list[Prediction | ProblemError]:
        """Predict many items: for each, in order, what was found, or why it was refused."""
        return self.send(calls.predict_batch(items))

    def embed(self, **inputs: Unpack[Inputs]) -> Embedding:
        """One vector for what is given, in the space that all modalities share."""
        return self.send(calls.embed(inputs))

    def classify(self, labels: Sequence[str], **fields: Unpack[ClassifyFields]) -> Classification:
        """Score what is given against labels that no head was trained for."""
        return self.send(calls.classify({"labels": list(labels), **fields}))

    def transcribe(
        self,
        audio: File,
        *,
        model: str | None = None,
        version: int | None = None,
        **fields: Unpack[TranscribeFields],
    ) -> Transcript:
        """Write down what is said in a recording."""
        return self.send(calls.transcribe({"audio": audio, **fields}, model, version))

    def transcribe_live(self, samples: Iterable[bytes], **fields: Unpack[LiveFields]) -> Iterator[LiveResult]:
        """What is said in a stream, while it is said; `samples` are taken in a thread of their own.

        Needs the extra `live` (websockets).
        """
        from intermodal_client.live import transcribe_live

        return transcribe_live(str(self._http.base_url), self._policy, samples, fields)

    def generate(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[GenerateFields]
    ) -> GeneratedText:
        """Write a text about an image, or on from a text."""
        return self.send(calls.generate(fields, model, version))

    def generate_stream(
        self, *, model: str | None = None, version: int | None = None, **fields: Unpack[GenerateFields]
    ) -> Iterator[TextPiece]:
        """`generate` while it is written: a piece at a time, the last with the whole."""
        return stream_text(self._http, self._policy, calls.generate(fields, model, version, stream=True))

    def search(self, *, gallery: str | None = None, **fields: Unpack[SearchFields]) -> SearchResult:
        """Find items of a gallery, of the default model's own where none is named."""
        return self.send(calls.search(fields, gallery))

    def put_item(self, item_id: str, *, gallery: str | None = None, **fields: Unpack[ItemFields]) -> Item:
        """Write an item, whole; it is on the disk once this returns."""
        return self.send(calls.put_item(item_id, fields, gallery))

    def get_item(self, item_id: str, *, gallery: str | None = None) -> Item:
        """Get an item."""
        return self.send(calls.get_item(item_id, gallery))

    def delete_item(self, item_id: str, *, gallery: str | None = None) -> None:
        """Delete an item."""
        self.send(calls.delete_item(item_id, gallery))

    def get_image(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's image: the file that was sent, or the thumbnail where only that is kept."""
        return self.send(calls.get_file(item_id, "image", gallery))

    def get_thumbnail(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """A small JPEG of an item's image."""
        return self.send(calls.get_file(item_id, "thumbnail", gallery))

    def get_audio(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's recording: the file that was sent."""
        return self.send(calls.get_file(item_id, "audio", gallery))

    def get_sensors(self, item_id: str, *, gallery: str | None = None) -> bytes:
        """An item's readings, as JSON: what `sensors` takes."""
        return self.send(calls.get_file(item_id, "sensors", gallery))

    def change_items(
        self, changes: Iterable[ItemChange], *, gallery: str | None = None
    ) -> list[str | ProblemError]:
        """Write and delete many items: for each, in order, its id, or why it was refused."""
        return self.send(calls.change_items(changes, gallery))

    def item_page(self, *, gallery: str | None = None, limit: int = 100, after: str | None = None) -> ItemPage:
        """A page of items, in the order of their ids."""
        return self.send(calls.page(gallery, limit, after))

    def items(self, *, gallery: str | None = None, page_size: int = 100) -> Iterator[Item]:
        """All items, in the order of their ids, a page at a time."""
        after: str | None = None
        while True:
            page = self.item_page(gallery=gallery, limit=page_size, after=after)
            yield from page.items
            after = page.next
            if after is None:
                return

    def galleries(self) -> list[Gallery]:
        """The galleries."""
        return self.send(calls.galleries())

    def get_gallery(self, name: str) -> Gallery:
        """Describe a gallery."""
        return self.send(calls.get_gallery(name))

    def create_gallery(self, name: str, *, model: str | None = None) -> Gallery:
        """Make a gallery of a model, of the default one where none is named; an existing one stays as it is."""
        return self.send(calls.create_gallery(name, model))

    def delete_gallery(self, name: str) -> None:
        """Delete a gallery with all of its items."""
        self.send(calls.delete_gallery(name))

    def models(self) -> list[Model]:
        """Every version that is loaded, the default model first."""
        return self.send(calls.models())

    def get_model(self, name: str) -> Model:
        """Describe the current version of a model."""
        return self.send(calls.get_model(name))

    def load(
        self, name: str, *, version: int | None = None, current: bool | None = None, keep: bool | None = None
    ) -> Model:
        """Load a version, the newest on the disk where none is named."""
        return self.send(calls.load(name, {"version": version, "current": current, "keep": keep}))

    def unload(self, name: str, *, version: int | None = None) -> list[Model]:
        """Unload a version, or all of a model; what is left."""
        return self.send(calls.unload(name, version))

    def is_live(self) -> bool:
        """Whether the process can do anything at all."""
        return self._is("live")

    def is_ready(self) -> bool:
        """Whether requests should come here now."""
        return self._is("ready")

    def is_started(self) -> bool:
        """Whether loading and warming up are done."""
        return self._is("startup")

    def _is(self, what: str) -> bool:
        # Not `send`: an answer of 503 is the answer, and is not waited for.
        call: Call[Any] = calls.health(what)
        try:
            answer = self._http.request(**self._policy.options(call))
        except httpx.TransportError:
            return False
        if answer.is_success:
            return True
        problem, _ = self._policy.refusal(answer, self._policy.max_retries)
        if isinstance(problem, UnavailableError):
            return False
        raise problem
