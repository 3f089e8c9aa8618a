"""Items on their way into a gallery: embedded by the gallery's model, pictured small, written.

Knows nothing of HTTP."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from PIL import Image

from app.call import Call
from app.galleries import Bound
from app.item_payload import Change, ItemDeletion, ItemWrite
from app.refusals import NotFoundError
from app.service import Service
from models.decode import decode_image
from models.decode_sensors import encode_sensors
from models.image_guards import ImageLimits
from retrieval.gallery import Entry, Floats, WritableGallery
from retrieval.item import Item

THUMBNAIL_PX = 112
"""The longer side of a thumbnail."""

_QUALITY = 85
_WRITE_ITEMS = 100  # in one transaction


@dataclass(frozen=True, slots=True)
class Written:
    """An item as it now is in the gallery, and whether its id is new there."""

    item: Item
    is_new: bool


Outcome = Written | ItemDeletion | Exception
"""What became of a change; an ItemDeletion has been done."""

_Embedded = tuple[Change | Exception, Mapping[str, Floats] | Exception]


async def put_item(service: Service, bound: Bound, write: ItemWrite, call: Call) -> Written:
    """Write one item.

    Raises:
        ConflictError: the gallery can only be read here.
        GalleryError: it cannot be written now.
        QueueFullError: too many writes wait.
        Exception: as `Answering.predict` does for its inputs.
    """
    gallery = bound.writable()
    vectors = await service.answering.vectors(bound.model, write.inputs, call)
    [written] = await service.galleries.write(partial(_put, service, gallery, [(write, vectors)]))
    if isinstance(written, Exception):
        raise written
    return written


async def delete_item(service: Service, bound: Bound, item_id: str) -> None:
    """Delete one item.

    Raises:
        NotFoundError: there is none of this id.
        ConflictError, GalleryError, QueueFullError: as `put_item` does.
    """
    gallery = bound.writable()
    [was_there] = await service.galleries.write(partial(gallery.delete, [item_id]))
    if not was_there:
        raise no_item(bound, item_id)


async def change_items(
    service: Service, bound: Bound, changes: Sequence[Change | Exception], call: Call
) -> list[Outcome]:
    """Write and delete many items in order; each succeeds or fails for itself.

    Raises:
        ConflictError: the gallery can only be read here.
    """
    gallery = bound.writable()
    gate = asyncio.Semaphore(max(1, service.settings.max_queue_items // 4))

    async def embedded(change: Change | Exception) -> _Embedded:
        if isinstance(change, Exception):
            return change, change
        if isinstance(change, ItemDeletion):
            return change, {}
        try:
            async with asyncio.timeout(call.timeout_seconds()), gate, service.pipeline.room_for_batches:
                return change, await service.answering.vectors(bound.model, change.inputs, call)
        except Exception as error:  # it is this item's answer
            return change, error

    outcomes: list[Outcome] = []
    for kind, group in groupby(await asyncio.gather(*map(embedded, changes)), _kind):
        part = list(group)
        for start in range(0, len(part), _WRITE_ITEMS):
            outcomes += await _apply(service, bound, gallery, kind, part[start : start + _WRITE_ITEMS])
    return outcomes


def no_item(bound: Bound, item_id: str) -> NotFoundError:
    """That there is no such item."""
    return NotFoundError(f"No item {item_id[:60]!r} in the gallery {bound.name!r}.")


def _kind(embedded: _Embedded) -> type:
    change, vectors = embedded
    return Exception if isinstance(vectors, Exception) else type(change)


async def _apply(
    service: Service, bound: Bound, gallery: WritableGallery, kind: type, part: Sequence[_Embedded]
) -> Sequence[Outcome]:
    """What becomes of changes of one kind."""
    if kind is Exception:
        return [error for _, error in part if isinstance(error, Exception)]
    try:
        if kind is ItemDeletion:
            going = [change for change, _ in part if isinstance(change, ItemDeletion)]
            there = await service.galleries.write(partial(gallery.delete, [change.id for change in going]))
            return [change if was else no_item(bound, change.id) for change, was in zip(going, there, strict=True)]
        writes = [(write, found) for write, found in part if isinstance(write, ItemWrite)]
        return await service.galleries.write(partial(_put, service, gallery, writes))  # type: ignore[arg-type]
    except Exception as error:  # the same for all of them: they are one transaction
        return [error] * len(part)


def _put(
    service: Service, gallery: WritableGallery, writes: Sequence[tuple[ItemWrite, Mapping[str, Floats]]]
) -> list[Written | Exception]:
    """Write items in one transaction, but for those whose picture cannot be made. In a thread."""
    settings = service.settings
    limits = settings.decode_limits.image
    made: list[Entry | Exception] = []
    for write, vectors in writes:
        try:
            made.append(_entry(write, vectors, limits))
        except Exception as error:  # it is this item's answer
            made.append(error)
    entries = [entry for entry in made if isinstance(entry, Entry)]
    news = iter(gallery.put(entries) if entries else [])
    return [Written(entry.item, next(news)) if isinstance(entry, Entry) else entry for entry in made]


def _entry(write: ItemWrite, vectors: Mapping[str, Floats], limits: ImageLimits) -> Entry:
    image = None if write.inputs.image is None else write.inputs.image.read()
    audio = None if write.inputs.audio is None else write.inputs.audio.read()
    sensors = None if write.inputs.sensors is None else encode_sensors(write.inputs.sensors)
    item = Item(
        id=write.id,
        text=write.inputs.text,
        labels=write.labels,
        metadata=write.metadata,
        has_image=image is not None,
        has_audio=audio is not None,
        has_sensors=sensors is not None,
    )
    thumbnail = None if image is None else make_thumbnail(image, limits)
    return Entry(item=item, vectors=vectors, image=image, thumbnail=thumbnail, audio=audio, sensors=sensors)


def make_thumbnail(data: bytes, limits: ImageLimits) -> bytes:
    """A JPEG, its longer side THUMBNAIL_PX at most: upright, on white. Raises as `decode_image` does."""
    picture = Image.fromarray(decode_image(data, side_px=THUMBNAIL_PX, limits=limits))
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
