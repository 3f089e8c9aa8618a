"""How a text is written: from what is shown, decoded, to a desk where it becomes, token by token.

Texts have threads and a door of their own: one takes as long as ten predictions, and none shall wait for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from app.batching import Batcher
from app.call import Call
from app.desk import Draft, Written
from app.door import Door
from app.scribes import Scribes
from app.served import Model
from app.settings import Settings
from app.stages import Found, Raw, Ready
from models.caption import Writing


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text that is wanted.

    prompt: what it continues.
    hear: takes each new piece, within the event loop; None where only the whole is wanted.
    """

    writing: Writing
    prompt: str = ""
    hear: Callable[[str], None] | None = None


class Generation:
    """The scribes, and who is let in to them."""

    def __init__(
        self, settings: Settings, decoder: Batcher[Raw, Ready], num_workers: int, max_queue_items: int
    ) -> None:
        """Prepare, without starting a thread.

        Args:
            settings: of everything.
            decoder: which what is shown goes through first, and ends in.
            num_workers: threads that write.
            max_queue_items: most texts that wait behind the door.
        """
        self._decoder = decoder
        self.door = Door(settings.max_queue_items)
        self.scribes = Scribes(
            num_workers=num_workers, max_rows=settings.max_generation_rows, max_queue_items=max_queue_items
        )
        self.on_written: Callable[[Model, Written, float], object] = lambda *_: None
        """Takes each text, and when its work began, by `perf_counter`; within the event loop."""

    def admit(self, call: Call, num_rows: int = 1) -> None:
        """See `Pipeline.admit`; a text takes a place for each beam."""
        if not call.admitted:
            self.door.check(call, self.scribes, self._decoder, num_items=num_rows)

    async def write(self, shown: Raw | Found, text: Text, call: Call) -> Written:
        """Write a text about what is shown, or what a pass has encoded already; raises as `Pipeline.run` does."""
        began, num_rows = perf_counter(), text.writing.num_beams
        flow, deadline = call.flow, call.deadline
        self.admit(call, num_rows)
        async with asyncio.timeout(call.timeout_seconds()):
            with self.door.entered(call, num_rows):
                if isinstance(shown, Found):
                    ready, encoded, queued = shown.ready, shown.encoded, shown.queued
                else:
                    ready, queued = await self._decoder.submit(shown, flow=flow, deadline=deadline)
                    encoded = None
                    call.record("decode", ready.seconds)
                model = ready.raw.model
                draft = Draft(model, ready.examples[0], text.writing, text.prompt, text.hear, encoded)
                written, waited = await self.scribes.submit(draft, flow=flow, deadline=deadline)
        call.record("queue", queued + waited)
        call.record("generate", written.seconds)
        self.on_written(model, written, began)
        return written
