"""A model that computes visibly: reds and blues for images, words for texts. Everything but the engine is real."""

import contextlib
import io
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from app.main import create_app
from app.remote import Fetcher
from app.served import Model
from app.server import configure
from app.service import Service
from app.settings import Settings
from models.batch import Batch
from models.calibration import Calibration, Conformity
from models.checkpoint import CheckpointConfig
from models.config import AudioPreprocessing, ImagePreprocessing, NetworkConfig, Preprocessing, TextPreprocessing
from models.decode import decode_image
from models.engine import Encoded, Frames, Output, scatter
from models.predictor import Predictor
from models.preprocess import Preprocessors
from models.sample import Sample
from retrieval.item import Item
from retrieval.seed_gallery import SeedGallery, read_seed, write_seed
from retrieval.store import Seed

WORDS = ("[PAD]", "[UNK]", "red", "blue", "star")
SIDE_PX = 16
RATE_HZ = 8_000
POISON = "star star star"
"""A text that breaks every forward pass that it is part of."""


class FakeEngine:
    """Image: mean red, green and blue in dimensions 0 to 2. Text: the share of each word in 3 to 7.

    Audio: the share of loud frames in 3, which is no word's but padding's. Frames: silence is blank, the first
    loud frame begins a word, and the others after it say "a".
    Scores: `colour` compares mean red and blue, and the words "red" and "blue"; `shape` likes a star for its word.
    """

    name = "fake"
    device = "cpu"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = self.deaf = False

    def encode(self, batch: Batch) -> Encoded:
        self.open.wait(10)
        self.batches.append(len(batch))
        if self.broken:
            raise RuntimeError("the fake engine is broken")
        vectors = {}
        if "image" in batch.inputs:
            pixels = batch.inputs["image"]["pixels"]
            vectors["image"] = np.zeros((len(pixels), 16), np.float32)
            vectors["image"][:, :3] = pixels.mean(axis=(1, 2)) / 255
        if "text" in batch.inputs:
            ids, lengths = batch.inputs["text"]["ids"], batch.inputs["text"]["lengths"]
            vectors["text"] = np.zeros((len(ids), 16), np.float32)
            for row, (own, length) in enumerate(zip(ids, lengths, strict=True)):
                for word in own[:length]:
                    vectors["text"][row, 3 + word] += 1 / length
                if list(own[:length]) == [4, 4, 4]:
                    raise RuntimeError("poisoned")
        if "audio" in batch.inputs:
            vectors["audio"] = np.zeros((len(batch.inputs["audio"]["features"]), 16), np.float32)
            vectors["audio"][:, 3] = [loud_T.mean() for loud_T in loud_frames(batch)]
        return scatter(batch, {name: {"vector": found} for name, found in vectors.items()}, 16)

    def frames(self, batch: Batch) -> Frames:
        self.open.wait(10)
        self.batches.append(len(batch))
        if self.broken or self.deaf:
            raise RuntimeError("the fake engine is broken")
        loud = loud_frames(batch)
        lengths_n = np.array([len(loud_T) for loud_T in loud], np.int64)
        log_probs_nTV = np.full((len(loud), lengths_n.max(), 4), np.log(0.1 / 3), np.float32)
        for row, loud_T in enumerate(loud):
            begins_T = loud_T & ~np.concatenate([[False], loud_T[:-1]])
            tokens_T = np.where(begins_T, 1, np.where(loud_T, 2, 0))
            log_probs_nTV[row, np.arange(len(loud_T)), tokens_T] = np.log(0.9)
        return Frames(log_probs_nTV, lengths_n)

    def fuse(self, encoded: Encoded, present_BM: np.ndarray) -> Output:
        vectors_BMD = encoded.vectors_BMD
        fused = (vectors_BMD * present_BM[:, :, None]).sum(axis=1) / present_BM.sum(axis=1, keepdims=True)
        colour = np.stack([fused[:, 2] + fused[:, 6], fused[:, 0] + fused[:, 5]], axis=1)
        shape = np.stack([0 * fused[:, 7], 0 * fused[:, 7], fused[:, 7]], axis=1)
        embedding = fused[:, :8] + np.float32(0.01)
        embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
        return Output({"shape": 5 * shape, "colour": 5 * colour}, embedding.astype(np.float32))


def loud_frames(batch: Batch) -> list[np.ndarray]:
    """For each recording, whether each of its frames has a band above the middle."""
    features, lengths = batch.inputs["audio"]["features"], batch.inputs["audio"]["lengths"]
    subsampling = 2  # tiny_audio's
    return [own[:length:subsampling].max(axis=1) > 0 for own, length in zip(features, lengths, strict=True)]


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


# Nine calibration rows: at a coverage of 0.9 a label needs 0.005, at 0.8 it needs 0.2, and at 0.7 it needs 0.4.
CONFORMITY = Conformity.fit(np.array([0.005, 0.2, 0.4, *[0.9] * 6]))
CALIBRATION = Calibration(
    conformity={head: {"text": CONFORMITY, "image+text": CONFORMITY} for head in ("shape", "colour")}
)


def make_predictor(
    name: str = "fashion",
    version: int = 1,
    engine: FakeEngine | None = None,
    *,
    only: str | None = None,
    hears: bool = False,
    calibration: Calibration | None = None,
) -> Predictor:
    network = NetworkConfig.tiny_audio() if hears else NetworkConfig.tiny()
    image, text = ImagePreprocessing(side_px=SIDE_PX), TextPreprocessing(max_tokens=8)
    if only is not None:
        network = network.model_copy(update={{"image": "text", "text": "image"}[only]: None})
    preprocessing = Preprocessing(
        image=image if network.image else None,
        text=text if network.text else None,
        audio=AudioPreprocessing(rate_hz=RATE_HZ, num_mels=16) if network.audio else None,
    )
    config = CheckpointConfig(
        format=1, name=name, version=version, network=network, preprocessing=preprocessing,
        calibration=calibration or Calibration(), embedding_id="0" * 64, graphs={}, files={},
    )  # fmt: skip
    return Predictor(config, Preprocessors(preprocessing, make_tokenizer()), engine or FakeEngine())


def image_file(colour: str, form: str = "PNG", side_px: int = SIDE_PX) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side_px, side_px), colour).save(buffer, form)
    return buffer.getvalue()


def recording(*loudness: float, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    """A WAV of a tone: 0.1 s of each loudness, from 0 to 1."""
    times_S = np.arange(rate_hz // 10) / rate_hz
    parts = [level * np.sin(2 * np.pi * 440 * times_S) for level in loudness]
    samples_S = (32_767 * np.concatenate([*parts, []])).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(samples_S, channels).tobytes())
    return buffer.getvalue()


ITEMS = (
    Item(id="red", text="red", labels={"colour": "red", "tags": ["warm", "loud"]}, metadata={"year": 2015}),
    Item(
        id="blue/1", text="blue star", labels={"colour": "blue"}, metadata={"year": 2020, "shop": {"city": "Ulm"}}
    ),
    Item(id="größe ☃?#", text="star", labels={"colour": "blue"}),
    Item(id="a/image", text=None, labels={"colour": "red"}, metadata={"sale": True}),
)
COLOURS = {"red": "red", "blue/1": "blue", "a/image": "#ff2000"}


def make_gallery(folder: Path, predictor: Predictor) -> SeedGallery:
    """Four items: three with an image, three with a text."""
    pictures = {key: image_file(colour, "JPEG") for key, colour in COLOURS.items()}
    samples = [
        Sample(
            image=decode_image(pictures[item.id], side_px=SIDE_PX) if item.id in pictures else None, text=item.text
        )
        for item in ITEMS
    ]
    vectors = predictor.embed_targets([predictor.prepare(sample) for sample in samples])
    write_seed(folder, ITEMS, vectors, pictures)
    return read_seed(folder)


class FakeSource:
    """Versions "on the disk": each with what makes it, which may raise. Counts what was loaded, in order."""

    def __init__(self, makers: Mapping[tuple[str, int], Callable[[], Model]]) -> None:
        self.makers = dict(makers)
        self.loaded: list[tuple[str, int]] = []
        self.states: dict[tuple[str, int], int] = {}

    def versions(self) -> dict[str, list[int]]:
        names = sorted({name for name, _ in self.makers})
        return {name: sorted(version for other, version in self.makers if other == name) for name in names}

    def load(self, name: str, version: int) -> Model:
        self.loaded.append((name, version))
        return self.makers[name, version]()

    def state(self, name: str, version: int) -> int:
        return self.states.get((name, version), 0)


def make_source(folder: Path, engine: FakeEngine | None = None) -> FakeSource:
    """`fashion` and `words`, which knows only text and has no gallery.

    Of `fashion`, version 2 has a gallery, and prediction sets wherever there is a text; version 1 has neither.
    """

    def newest() -> Model:
        predictor = make_predictor(version=2, engine=engine, calibration=CALIBRATION)
        return Model(predictor, make_gallery(folder, predictor))

    return FakeSource(
        {
            ("fashion", 2): newest,
            ("fashion", 1): lambda: Model(make_predictor(version=1, engine=engine)),
            ("words", 1): lambda: Model(make_predictor("words", engine=engine, only="text")),
        }
    )


def make_hearing_service(
    folder: Path,
    settings: Settings,
    engine: FakeEngine | None = None,
    *,
    first: str = "fashion",
    fetcher: Fetcher | None = None,
) -> Service:
    """`fashion`, which knows no recordings, and `speech`, which knows them beside images and texts."""
    source = make_source(folder, engine)

    def speech() -> Model:
        predictor = make_predictor("speech", engine=engine, hears=True)
        return Model(predictor, make_gallery(folder / "speech", predictor))

    source.makers = {("fashion", 2): source.makers["fashion", 2], ("speech", 1): speech}
    models = [make() for make in source.makers.values()]
    return Service(sorted(models, key=lambda model: model.name != first), settings, source, fetcher)


def make_service(
    folder: Path, settings: Settings, engine: FakeEngine | None = None, fetcher: Fetcher | None = None
) -> Service:
    """What `make_source` has, all of it loaded."""
    source = make_source(folder, engine)
    return Service([make() for make in source.makers.values()], settings, source, fetcher)


def seed_of(model: Model) -> Seed | None:
    """What the model's own gallery brings into one that is kept."""
    gallery = model.gallery
    if gallery is None:
        return None
    assert isinstance(gallery, SeedGallery)
    return Seed(version=model.version, read=lambda: gallery)


@contextlib.contextmanager
def serving(settings: Settings, load: Callable[[Settings], Service]) -> Iterator[httpx.Client]:
    """A real server in a thread, and a client of it."""
    config = configure(create_app(settings, load=load), settings)
    config.port = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
