"""Items that a gallery has no vectors of yet, embedded in the background by the model that it is of.

They wait after a new network came: what users had put in is embedded anew from its originals. It goes
through the pipe as one flow, a few items at a time, so that requests take turns with it. What is interrupted goes
on by itself, for a gallery knows what is pending."""

import asyncio
import json
import logging
from collections.abc import Mapping

from app.call import Call
from app.galleries import Galleries, is_writable
from app.payload import Inputs
from app.pipeline import Pipeline
from app.refusals import QueueFullError, StuckError
from app.served import Model
from app.upload import Upload
from models.decode_sensors import decode_sensors
from models.errors import InputError
from models.sample import Readings
from retrieval.gallery import Floats, Pending, WritableGallery

STEP_ITEMS = 16  # embedded at once, and written in one transaction
_PAUSE_SECONDS = 0.5  # where the queue has no place
_LOG = logging.getLogger(__name__)


class Reembedding:
    """Fills the galleries of models. Used within the event loop."""

    def __init__(self, pipeline: Pipeline, galleries: Galleries) -> None:
        """Prepare; nothing is begun."""
        self._pipeline = pipeline
        self._galleries = galleries

    async def fill(self, model: Model) -> None:
        """Embed until nothing of the model's galleries is pending.

        Raises:
            GalleryError: a gallery cannot be read or written.
        """
        for name, gallery in list(model.galleries.items()):
            if is_writable(gallery):
                await self._fill(model, name, gallery)

    async def _fill(self, model: Model, name: str, gallery: WritableGallery) -> None:
        done = failed = 0
        while waiting := await self._galleries.write(lambda: gallery.pending(STEP_ITEMS)):
            if not done:
                _LOG.info("gallery %s: items are embedded anew by version %d", name, model.version)
            found = await asyncio.gather(*(self._vectors(model, item) for item in waiting))
            vectors = {item.id: one for item, one in zip(waiting, found, strict=True)}
            contents = {item.id: item.content for item in waiting}
            await self._galleries.write(lambda v=vectors, c=contents: gallery.fill(v, c))  # type: ignore[misc]
            failed += sum(not one for one in found)
            done += len(waiting)
        if done:
            _LOG.info("gallery %s: %d items are embedded, of which %d could not be", name, done - failed, failed)

    async def _vectors(self, model: Model, item: Pending) -> Mapping[str, Floats]:
        """The item's vectors; none where the network cannot embed it."""
        known = model.modalities
        inputs = Inputs(
            image=Upload.of(item.image) if item.image is not None and "image" in known else None,
            text=item.text or None if "text" in known else None,  # a seed's item without one may have an empty one
            audio=Upload.of(item.audio) if item.audio is not None and "audio" in known else None,
            sensors=_known_channels(item.sensors, model),
        )
        if inputs == Inputs():
            return {}
        while True:
            try:
                return await self._pipeline.vectors(model, inputs, Call(record=_nowhere, flow=self))
            except QueueFullError:
                await asyncio.sleep(_PAUSE_SECONDS)
            except (InputError, StuckError) as error:
                _LOG.warning("item %r cannot be embedded by version %d: %s", item.id, model.version, error)
                return {}


def _known_channels(data: bytes | None, model: Model) -> Readings | None:
    """An item's readings of those channels that the network has: another one may have others."""
    config = model.predictor.config.preprocessing.sensors
    readings = None if data is None or config is None else decode_sensors(json.loads(data))
    if readings is None or config is None:
        return None
    return {name: own for name, own in readings.items() if name in config.channels} or None


def _nowhere(_stage: str, _seconds: float) -> None:
    pass
