"""The work of requests, timed: the service's own models, files and functions, without HTTP and queues."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from app.doctor.choice import Pair
from app.loading import load_service
from app.payload import Inputs
from app.served import Model
from app.settings import Settings
from app.upload import Upload
from models.batch import Example
from models.sample import Readings

_NUM_ITEMS = 64
_KINDS = {"images": "image", "texts": "text", "recordings": "audio", "readings": "sensors"}
_LEAST_ANSWERS = 3  # even where one takes longer than the seconds given
_LONG_TEXT = "the longest text that the model looks at to its end "


@dataclass(frozen=True, slots=True)
class RequestItem:
    """What a client sends."""

    image: bytes | None = None
    text: str | None = None
    audio: bytes | None = None
    sensors: Readings | None = None

    def inputs(self) -> Inputs:
        """As the service reads them: an upload belongs to one thread."""
        image, audio = _upload(self.image), _upload(self.audio)
        return Inputs(image=image, text=self.text, audio=audio, sensors=self.sensors)


class ServiceBench:
    """Keeps `rounds.Bench` for one model. Its threads end with each figure."""

    def __init__(self, settings: Settings, model: Model, seconds: float) -> None:
        """Take a loaded model over.

        Args:
            settings: which it was loaded with, naming no other model.
            model: made with `settings.num_threads`.
            seconds: that a figure takes.
        """
        self._settings = settings
        self._seconds = seconds
        self._models = {settings.num_threads: model}
        self._limits = settings.decode_limits
        self._items = request_items(model)
        self._examples: dict[str, list[Example]] = {}
        self._longest: dict[str, Example] = {}
        for kind in self.kinds:
            self._examples[kind] = [self._prepare(model, item) for item in _of_kind(self._items, kind)]
            first = _of_kind(self._items, kind)[0]
            longest = first if first.text is None else replace(first, text=_long_text(model))
            self._longest[kind] = self._prepare(model, longest)
        self._stopped = threading.Event()

    @property
    def kinds(self) -> list[str]:
        """The kinds of items: `images` (with all else that the model knows), `texts` and the like, alone."""
        known = next(iter(self._models.values())).modalities
        return [kind for kind, modality in _KINDS.items() if modality in known]

    def cost(self, kind: str) -> dict[str, int]:
        """By modality, the most that one of the measured items of a kind costs: pixels, tokens, frames."""
        costs = [self._any_model().predictor.preprocessors.cost(example) for example in self._examples[kind]]
        return {name: max(cost.get(name, 0) for cost in costs) for name in costs[0]}

    def rate(self, pair: Pair) -> float:
        """See `rounds.Bench`."""
        model = self._model(pair.threads)
        return self._saturate(pair.workers, lambda number: self._answer(model, number), self._seconds)

    def seconds_alone(self, threads: int) -> float:
        """See `rounds.Bench`: the median."""
        model, times = self._model(threads), list[float]()
        stop = perf_counter() + self._seconds / 2
        while len(times) < _LEAST_ANSWERS or perf_counter() < stop:
            start = perf_counter()
            self._answer(model, len(times))
            times.append(perf_counter() - start)
        return median(times)

    def batch_rate(self, pair: Pair, kind: str, size: int) -> float:
        """See `rounds.Bench`."""
        model, examples = self._model(pair.threads), self._examples[kind]
        batch = [examples[number % len(examples)] for number in range(size)]

        def run(_: int) -> int:
            model.predictor.predict(batch)
            return size

        run(0)  # what is made for each size is made now
        return self._saturate(pair.workers, run, self._seconds / 4)

    def fits(self, pair: Pair, kind: str, size: int) -> bool:
        """See `rounds.Bench`."""
        model, batch = self._model(pair.threads), [self._longest[kind]] * size
        try:
            self._saturate(pair.workers, lambda _: len(model.predictor.predict(batch)), 0)
        except MemoryError:
            return False
        return True

    def _saturate(self, workers: int, work: Callable[[int], int], seconds: float) -> float:
        """Items a second of several threads that each work again and again; `work` returns its items."""
        self._stopped.clear()
        start = perf_counter()

        def run(worker: int) -> int:
            count, number = 0, worker
            while count == 0 or not (self._stopped.is_set() or perf_counter() - start >= seconds):
                count += work(number)
                number += workers
            return count

        with ThreadPoolExecutor(workers, "doctor") as pool:
            try:
                total = sum(pool.map(run, range(workers)))
            finally:  # after Ctrl-C or an error the others end too
                self._stopped.set()
        return total / (perf_counter() - start)

    def _answer(self, model: Model, number: int) -> int:
        """What the service does for one item, without HTTP."""
        example = self._prepare(model, self._items[number % len(self._items)])
        [prediction] = model.predictor.predict([example])
        if model.gallery is not None:
            model.gallery.search(prediction.embedding_E)
        return 1

    def _prepare(self, model: Model, item: RequestItem) -> Example:
        return model.predictor.prepare(model.decode(item.inputs(), self._limits))

    def _any_model(self) -> Model:
        return next(iter(self._models.values()))

    def _model(self, threads: int) -> Model:
        if threads not in self._models:
            if self._any_model().predictor.engine.name == "torch":
                self._models.clear()  # torch has one number of threads in a process: that of the last engine
            settings = self._settings.model_copy(update={"num_threads": threads})
            self._models[threads] = load_service(settings, lambda _: None).models[0]
            self._answer(self._models[threads], 0)
        return self._models[threads]


def request_items(model: Model) -> Sequence[RequestItem]:
    """Items of the model's gallery as requests; where it knows recordings or sensors, each with what warms it up.

    Where it has no gallery, the one request that warms it up.
    """
    inputs, items = model.some_inputs(), []
    audio = None if inputs.audio is None else inputs.audio.read()
    if model.gallery is not None:
        for item in model.gallery.page(limit=_NUM_ITEMS):
            image = model.gallery.image(item.id) if "image" in model.modalities else None
            text = item.text if "text" in model.modalities else None
            if image is not None or text is not None:
                items.append(RequestItem(image, text, audio, inputs.sensors))
    whole = [item for item in items if all(getattr(item, name) is not None for name in model.modalities)]
    if whole:
        return whole
    image = None if inputs.image is None else inputs.image.read()
    return [RequestItem(image, inputs.text, audio, inputs.sensors)]


def _of_kind(items: Sequence[RequestItem], kind: str) -> list[RequestItem]:
    if kind == "images":
        return list(items)
    name = _KINDS[kind]
    return [RequestItem(**{name: getattr(item, name)}) for item in items]


def _upload(data: bytes | None) -> Upload | None:
    return None if data is None else Upload.of(data)


def _long_text(model: Model) -> str | None:
    text = model.predictor.config.preprocessing.text
    return None if text is None else _LONG_TEXT * text.max_tokens
