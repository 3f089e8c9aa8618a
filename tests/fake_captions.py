"""A captioner that writes visibly: a word a token, a picture's colour, or numbers where it is told to count."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from app.served import Model
from app.service import Service
from app.settings import Settings
from models.batch import Example
from models.caption import Caption, Writing
from models.engine import Encoded
from models.errors import EngineMemoryError, InputError
from tests.fakes import FakeEngine, make_gallery, make_predictor, make_source

POISON = "poison"
"""A prompt that breaks every step that it is part of."""

HANG = "hang"
"""A prompt whose step does not end, for whoever shares it."""

COUNT = "count"
"""A prompt that is followed by 1 2 3 …, up to `max_tokens`."""

COLOURS = ("red", "green", "blue")


@dataclass(eq=False)
class Pen:
    """What all writers of a service share, and tests hold, slow and look at.

    steps: the rows of each step. seconds: of a step. left: texts that left before their end.
    """

    steps: list[int] = field(default_factory=list)
    seconds: float = 0.0
    left: int = 0
    broken: bool = False
    memory_rows: int | None = None
    open: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.open.set()


@dataclass(eq=False)
class _Text:
    words: list[str]
    writing: Writing
    prompt: str
    on_text: Callable[[str], bool]
    said: str = ""
    num_tokens: int = 0

    def go_on(self) -> Caption | None:
        """One word more; the caption where it ends."""
        word = self.words[self.num_tokens]
        piece = word if not self.said and not self.prompt else f" {word}"
        ends_at = [at for part in self.writing.stop if (at := (self.said + piece).find(part)) >= 0]
        whole = (self.said + piece)[: min(ends_at)] if ends_at else self.said + piece
        told = whole[len(self.said) :]
        self.said, self.num_tokens = whole, self.num_tokens + 1
        goes_on = True
        if self.writing.num_beams == 1 and told:
            goes_on = self.on_text(told)
        stopped = bool(ends_at) or self.num_tokens == len(self.words)
        if not (stopped or self.num_tokens == (self.writing.max_tokens or 6) or not goes_on):
            return None
        if self.writing.num_beams > 1:
            self.on_text(self.said)
        reason = "cancelled" if not goes_on else "stop" if stopped else "length"
        return Caption(text=self.said, num_tokens=self.num_tokens, finish_reason=reason, score=-0.5)


class FakeWriter:
    def __init__(self, pen: Pen) -> None:
        self.pen = pen
        self.texts: list[_Text] = []

    def add(
        self,
        example: Example,
        writing: Writing,
        prompt: str,
        on_text: Callable[[str], bool],
        _: Encoded | None = None,
    ) -> object:
        if len(prompt.split()) > 5:
            raise InputError("text", "6 tokens or more; 5 can be continued. Shorten it.")
        text = _Text(_words(example, writing, prompt), writing, prompt, on_text)
        self.texts.append(text)
        return text

    def step(self) -> Sequence[tuple[object, Caption]]:
        rows = sum(text.writing.num_beams for text in self.texts)
        self.pen.open.wait(10)
        self.pen.steps.append(rows)
        time.sleep(self.pen.seconds)
        prompts = [text.prompt for text in self.texts]
        if HANG in prompts:
            time.sleep(3)
        if POISON in prompts or self.pen.broken:
            raise RuntimeError("poisoned")
        if self.pen.memory_rows is not None and rows > self.pen.memory_rows:
            raise EngineMemoryError("no memory for so many rows")
        ended = [(text, caption) for text in self.texts if (caption := text.go_on()) is not None]
        self.pen.left += sum(caption.finish_reason == "cancelled" for _, caption in ended)
        self.texts = [text for text in self.texts if text not in [one for one, _ in ended]]
        return ended

    def drop(self, handle: object) -> None:
        self.pen.left += 1
        self.texts = [text for text in self.texts if text is not handle]


class FakeCaptioner:
    """Writes "a red picture" of a red one."""

    def __init__(self, pen: Pen) -> None:
        self.pen = pen

    def writer(self) -> FakeWriter:
        return FakeWriter(self.pen)


def _words(example: Example, writing: Writing, prompt: str) -> list[str]:
    if prompt in (COUNT, HANG):
        return [str(number) for number in range(1, 1000)]
    if "image" not in example.arrays:
        return ["and", "so", "on"]
    colour = COLOURS[int(example.arrays["image"]["pixels"].mean(axis=(0, 1)).argmax())]
    return ["a", Random(writing.seed).choice(COLOURS) if writing.temperature else colour, "picture"]


def make_writing_service(
    folder: Path,
    settings: Settings,
    pen: Pen | None = None,
    engine: FakeEngine | None = None,
    *,
    first: str = "fashion",
) -> Service:
    """`fashion`, which writes nothing, and `scribe`, which does and knows images and texts."""
    source = make_source(folder, engine)

    def scribe() -> Model:
        predictor = make_predictor("scribe", engine=engine)
        predictor.captioner = FakeCaptioner(pen or Pen())
        return Model(predictor, make_gallery(folder / "scribe", predictor))

    source.makers = {("fashion", 2): source.makers["fashion", 2], ("scribe", 1): scribe}
    models = [make() for make in source.makers.values()]
    return Service(sorted(models, key=lambda model: model.name != first), settings, source)
