"""The texts that one thread writes side by side: rows join, take a step together, and leave as they end.

Knows models that write; knows no queue and no HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from app.jobs import Job, as_exception
from app.served import Model
from models.batch import Example
from models.caption import Caption, Writing
from models.engine import EncodedArrays
from models.errors import InputError
from models.writer import Page, Writer

TELL_SECONDS = 0.02
"""Between two pieces that a stream is told, at least: nobody reads a thousand a second, and each is work."""


@dataclass(slots=True, eq=False)
class Draft:
    """A text that is to be written.

    hear: takes each new piece, within the event loop; None where only the whole is wanted.
    encoded: what it is about, of one row in the host's memory, where a pass has encoded it already.
    said: what was handed to `hear`. A text that is begun anew is not told twice.
    first: when its first piece was there, by `perf_counter`.
    """

    model: Model
    example: Example
    writing: Writing
    prompt: str = ""
    hear: Callable[[str], None] | None = None
    encoded: EncodedArrays | None = None
    said: str = ""
    first: float | None = None

    def tell(self, text: str) -> None:
        """Hand on what is new in `text`, which is all of it so far. Within the event loop."""
        new, self.said = text[len(self.said) :], max(text, self.said, key=len)
        if new and self.hear is not None:
            self.hear(new)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A text, when its first piece was there, and the seconds that it took from its first step on."""

    caption: Caption
    first: float | None
    seconds: float


DraftJob = Job[Draft, Written]


@dataclass(slots=True, eq=False)
class Turn:
    """What one step brought.

    told: of each text that grew and is heard, all of it so far.
    ended: with what they became, or why not.
    again: a step of several failed, and one of them is to blame: each is to be written anew, alone.
    failed, worked: the models whose step raised, and those whose step did not.
    """

    told: list[tuple[Draft, str]] = field(default_factory=list)
    ended: list[tuple[DraftJob, Written | Exception]] = field(default_factory=list)
    again: list[DraftJob] = field(default_factory=list)
    memory_lacked: bool = False
    failed: list[Model] = field(default_factory=list)
    worked: list[Model] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Row:
    job: DraftJob
    text: str = ""
    grew: bool = False
    told_at: float = 0.0
    started: float = field(default_factory=perf_counter)

    def on_text(self, piece: str) -> bool:
        """Take a piece, in the thread that writes; False where nobody waits for it any more."""
        draft = self.job.item
        if draft.first is None:
            draft.first = perf_counter()
        self.text += piece
        self.grew = True
        return not self.job.future.done()


class Desk:
    """Used by one thread, but for `jobs`, `num_rows` and `turn`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._rows: dict[Model, tuple[Writer, dict[Page, _Row]]] = {}
        self.called: float | None = None
        """When the step began that runs now, by `perf_counter`."""
        self.turn = Turn()
        """What the last step brought, or has brought so far. A job is in here before it leaves `jobs`."""
        self.given_up = False
        self.busy = 0.0
        """Seconds of steps since a text ended."""

    @property
    def jobs(self) -> list[DraftJob]:
        """What is being written."""
        return [row.job for _, rows in list(self._rows.values()) for row in list(rows.values())]

    @property
    def num_rows(self) -> int:
        """Of all texts, each beam counted."""
        return sum(job.item.writing.num_beams for job in self.jobs)

    @property
    def is_private(self) -> bool:
        """Whether what is written must not share a step."""
        return any(job.alone for job in self.jobs)

    def add(self, job: DraftJob) -> None:
        """Let a text join; nothing is computed yet. What the model's writer has against it ends it."""
        try:
            self._add(job)
        except BaseException as error:  # it is this text's
            self.turn.ended.append((job, as_exception(error)))

    def _add(self, job: DraftJob) -> None:
        draft, row = job.item, _Row(job)
        if draft.model not in self._rows:
            captioner = draft.model.captioner
            if captioner is None:
                raise ValueError("this model writes no texts")
            self._rows[draft.model] = (captioner.writer(), {})
        writer, rows = self._rows[draft.model]
        page = writer.add(draft.example, draft.writing, draft.prompt, row.on_text, draft.encoded)
        rows[page] = row

    def step(self) -> None:
        """Write on, a token for each row; first drop what nobody waits for."""
        for model in list(self._rows):
            self._step(model, self.turn)

    def _step(self, model: Model, turn: Turn) -> None:
        writer, rows = self._rows[model]
        try:
            for page in [page for page, row in rows.items() if row.job.future.done()]:
                del rows[page]
                writer.drop(page)
            ended = writer.step() if rows else []
        except BaseException as error:  # a library in Rust panics with one that is no Exception
            self._fail(model, [row.job for row in rows.values()], error, turn)
            del self._rows[model]  # nobody knows what state its writer is in
            return
        if rows:
            turn.worked.append(model)
        now = perf_counter()
        last = {page for page, _ in ended}
        for page, row in rows.items():
            if row.grew and row.job.item.hear is not None and (now - row.told_at >= TELL_SECONDS or page in last):
                turn.told.append((row.job.item, row.text))
                row.grew, row.told_at = False, now
        for page, caption in ended:
            row = rows[page]
            turn.ended.append((row.job, Written(caption, row.job.item.first, now - row.started)))
            del rows[page]
        if not rows:
            del self._rows[model]  # a model that is unloaded is not kept by what it wrote last

    @staticmethod
    def _fail(model: Model, jobs: Sequence[DraftJob], error: BaseException, turn: Turn) -> None:
        turn.memory_lacked |= isinstance(error, MemoryError)
        if len(jobs) > 1:
            for job in jobs:
                job.alone = job.alone or not isinstance(error, MemoryError)
            turn.again += jobs
            return
        if not isinstance(error, InputError):  # which is the request's fault
            turn.failed.append(model)
        turn.ended += [(job, as_exception(error)) for job in jobs]
