"""A model that is served, with its gallery, and what it answers."""

import io
import math
import sys
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from app.media import DecodeLimits
from app.payload import Inputs
from app.refusals import NotFoundError
from app.upload import Upload
from models.caption import Caption, Writing
from models.captioner import Captioner
from models.decode import decode_image
from models.decode_audio import decode_audio
from models.explainer import Explanation
from models.predictor import Prediction, Predictor
from models.sample import Sample
from retrieval.gallery import DEFAULT_TARGET, Gallery, Match
from retrieval.store import Embedding


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Model:
    """One served version with its galleries, which are never taken apart: what the one embeds, the others have.

    gallery: the model's own, named like it; None where the checkpoint ships none and none is kept.
    others: further galleries of the model by name. Changed only within the event loop.
    """

    predictor: Predictor
    gallery: Gallery | None = None
    others: dict[str, Gallery] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name, and its gallery's."""
        return self.predictor.config.name

    @property
    def version(self) -> int:
        """The version, from 1."""
        return self.predictor.config.version

    @property
    def embedding(self) -> Embedding:
        """Whose vectors its galleries are seen through."""
        config = self.predictor.config
        return Embedding(
            id=config.embedding_id,
            dimensions=config.network.embedding.dimensions,
            targets=(DEFAULT_TARGET, *self.modalities),
        )

    @property
    def galleries(self) -> dict[str, Gallery]:
        """All of its galleries by name, its own first."""
        own = {} if self.gallery is None else {self.name: self.gallery}
        return own | self.others

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it knows."""
        return self.predictor.modalities

    @property
    def captioner(self) -> Captioner | None:
        """What writes texts; None where the model has no head for it."""
        return self.predictor.captioner

    @property
    def on_cpu(self) -> bool:
        """Whether its network runs on the CPU, and not on a card."""
        return self.predictor.engine.device == "cpu"

    def decode(self, inputs: Inputs, limits: DecodeLimits) -> Sample:
        """Decode the inputs' files. Raises as `decode_image` and `decode_audio` do."""
        image = audio = None
        preprocessing = self.predictor.config.preprocessing
        if inputs.image is not None and preprocessing.image is not None:
            image = decode_image(inputs.image.read(), side_px=preprocessing.image.side_px, limits=limits.image)
        if inputs.audio is not None and preprocessing.audio is not None:
            audio = decode_audio(inputs.audio.read(), rate_hz=preprocessing.audio.rate_hz, limits=limits.audio)
        return Sample(image=image, text=inputs.text, audio=audio, sensors=inputs.sensors)

    def some_inputs(self) -> Inputs:
        """Inputs of every modality, as a client would send them, to warm up with."""
        image = audio = sensors = None
        preprocessing = self.predictor.config.preprocessing
        if preprocessing.image is not None:
            file = io.BytesIO()
            Image.new("RGB", (preprocessing.image.side_px,) * 2, "grey").save(file, "JPEG")
            image = Upload.of(file.getvalue())
        if preprocessing.audio is not None:
            audio = Upload.of(_hum(preprocessing.audio.rate_hz))
        if preprocessing.sensors is not None:
            channels = preprocessing.sensors.channels
            sensors = {name: np.array([channel.mean]) for name, channel in channels.items()}
        text = "warm up" if "text" in self.modalities else None
        return Inputs(image=image, text=text, audio=audio, sensors=sensors)

    def warm_up(self) -> None:
        """Answer one real request in this thread, from a file's bytes to matches. What is wrong shows here.

        Raises:
            Exception: whatever preprocessing, engine or gallery raise; FloatingPointError for an answer that is no
                number.
        """
        sample = self.decode(self.some_inputs(), DecodeLimits())
        [prediction] = self.predictor.predict([self.predictor.prepare(sample)])
        if (transcriber := self.predictor.transcriber) is not None:
            transcriber.transcribe([transcriber.prepare(sample)])
        if self.captioner is not None:
            self.captioner.caption([self.predictor.prepare(sample)], [Writing(max_tokens=1)])
        numbers = [prediction.embedding_E, *prediction.scores.values()]
        if not all(np.isfinite(part).all() for part in numbers):
            raise FloatingPointError(f"the model {self.name!r} answers with what is no number")
        if self.gallery is not None:
            self.gallery.search(prediction.embedding_E)

    def some_gallery(self) -> Gallery:
        """The gallery.

        Raises:
            NotFoundError: the checkpoint ships none.
        """
        if self.gallery is None:
            raise NotFoundError(
                f"The model {self.name!r} has no gallery. Train it with one, or ask another model."
            )
        return self.gallery


def _hum(rate_hz: int) -> bytes:
    """A second of a low tone, as a WAV file: silence would take no pass."""
    samples = array("h", (round(3000 * math.sin(2 * math.pi * 220 * time / rate_hz)) for time in range(rate_hz)))
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model found. `matches` is empty, `explanation` and `caption` None, where none were wanted.

    num_text_tokens: of the text, as the network saw it; 0 without one.
    gallery: the name of the one that was asked for, of which the matches are; None for the model's own.
    """

    model: Model
    prediction: Prediction
    matches: Sequence[Match]
    explanation: Explanation | None = None
    num_text_tokens: int = 0
    caption: Caption | None = None
    gallery: str | None = None
