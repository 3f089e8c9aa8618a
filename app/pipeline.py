"""The pipe that every item goes through, in worker threads, off the event loop.

    inputs ──decode, prepare──► Example ──batch, encode, fuse──► Prediction ──search──► Answer
                                   └──────write, token by token──► Written ◄── of the same encoding ──┘

Each arrow has workers of its own, so that one batch is searched for while the next is computed. Knows models and
queues; knows nothing of HTTP, nor of which models are served."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.batch_limits import Limits
from app.batching import Batcher
from app.call import Call
from app.door import Door
from app.generation import Generation, Text
from app.media import DecodeLimits
from app.passes import forward
from app.payload import Inputs
from app.preparing import cost, for_a_pass, prepare
from app.scribes import Scribes
from app.seeking import Search, search_each, search_for
from app.served import Answer, Model
from app.settings import Settings
from app.stages import Found, Matched, Raw, Ready, SearchBy
from models.caption import Writing
from models.cores import usable_cores
from models.explainer import Original, Variation
from models.sample import Sample
from models.shapley import Doubles
from models.transcript import Decoding, Transcript
from retrieval.gallery import Floats, Match

_WATCH_SECONDS = 0.25
_MAX_STUCK = 8  # threads that hang and cannot be ended; beyond, only a new process helps
_LOG = logging.getLogger(__name__)


class Pipeline:
    """One set of queues and workers for all models, so that they do not contend for cores."""

    def __init__(self, settings: Settings, num_workers: int) -> None:
        """Prepare, without starting a thread; `num_workers` run the network."""
        self._settings = settings
        self.num_workers = num_workers
        self.failed: set[tuple[str, int]] = set()
        """Name and version of the models whose last forward pass failed, or hung."""
        self.door = Door(settings.max_queue_items)
        self.room_for_batches = asyncio.Semaphore(max(1, settings.max_queue_items // 2))
        """Held by each item of a batch: however many batches there are, half the places are left for others."""
        self.room_for_explanations = asyncio.Semaphore(max(1, settings.max_queue_items // 4))
        """Held by each variation of an explanation, so that they leave places for others too."""
        # More than the door lets in: what nobody waits for any more is dropped when a queue is as long as this.
        max_queue_items = 2 * settings.max_queue_items + num_workers * settings.max_batch_items
        # Decoding and searching take a thirtieth of the network's time: half the cores can feed all of them.
        light: dict[str, Any] = {
            "num_workers": max(1, usable_cores() // 2),
            "max_queue_items": max_queue_items,
        }
        decode_limits = settings.decode_limits
        self._decoder = Batcher[Raw, Ready](
            lambda raws: [prepare(raw, decode_limits) for raw in raws],
            name="decode",
            limits=Limits(items=1),
            **light,
        )
        # The items of a forward pass come at once, and are answered at once: one wake-up for all.
        together = Limits(items=settings.max_batch_items)
        self._searcher = Batcher[tuple[Search, Found | None], Matched](
            search_each, name="search", limits=together, **light
        )
        self._forward = Batcher[Ready, Found](
            lambda works: forward(works, self._note),
            name="forward",
            num_workers=num_workers,
            limits=Limits(
                items=settings.max_batch_items,
                cost=(
                    settings.max_batch_pixels,
                    settings.max_batch_tokens,
                    settings.max_batch_frames,
                    settings.max_batch_readings,
                ),
                linger_seconds=settings.max_batch_wait_ms / 1000,
            ),
            max_queue_items=max_queue_items,
            cost=cost,
        )
        self.generation = Generation(settings, self._decoder, num_workers, max_queue_items)
        self.generation.scribes.on_outcome = self._note
        self._decoder.lead_to(self._forward, for_a_pass)
        self._forward.lead_to(self._searcher, search_for)
        self.on_answer: Callable[[Answer], object] = lambda _: None
        """Takes each answer, within the event loop."""
        self._watch: asyncio.Task[None] | None = None

    @property
    def queues(self) -> Mapping[str, Batcher[Any, Any] | Scribes]:
        """The queues by name, for whoever counts."""
        return {
            "decode": self._decoder,
            "forward": self._forward,
            "search": self._searcher,
            "generate": self.generation.scribes,
        }

    def start(self) -> None:
        """Start the workers, within the event loop that will submit."""
        for queue in self.queues.values():
            queue.start()
        self._watch = asyncio.create_task(self._replace_stuck())

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        if self._watch is not None:
            self._watch.cancel()
        for queue in self.queues.values():
            await queue.close()

    @property
    def beyond_repair(self) -> bool:
        """Whether so many threads hang that only a new process helps."""
        return sum(queue.num_stuck() for queue in self.queues.values()) >= _MAX_STUCK

    def admit(self, call: Call, num_items: int = 1) -> None:
        """Refuse items that would find no place, or no time. See `Door.check`; not asked again once let in."""
        if not call.admitted:
            self.door.check(call, self._forward, self._decoder, self._searcher, num_items=num_items)

    async def run(
        self, model: Model, inputs: Inputs, search: SearchBy | None, call: Call, text: Text | None = None
    ) -> Answer:
        """Take one item from its inputs to its answer; where `text` says how, with a text about it.

        Raises:
            InputError: inputs that cannot be decoded.
            QueueFullError: see `admit`.
            StuckError: the work on it did not end.
            TimeoutError: past the deadline.
        """
        self.admit(call)
        if text is not None:
            self.generation.admit(call)
        raw = Raw(model, inputs, search=search, for_text=text is not None)
        found, answer = await self._answer(raw, call)
        self.on_answer(answer)
        return answer if text is None else await self.describe(answer, found, text, call)

    async def describe(self, answer: Answer, found: Found, text: Text, call: Call) -> Answer:
        """The answer with a text about the item, from the encoding that `found` has. Raises as `run` does."""
        written = await self.generation.write(found, text, call)
        return replace(answer, caption=written.caption)

    async def vectors(self, model: Model, inputs: Inputs, call: Call) -> Mapping[str, Floats]:
        """What a gallery keeps of an item: by target, (E,) of unit norm. Raises as `run` does."""
        self.admit(call)
        found, _ = await self._through(Raw(model, inputs, "vectors"), call)
        return found.vectors

    async def transcribe(
        self, model: Model, inputs: Inputs | Sample, decoding: Decoding, call: Call
    ) -> tuple[Transcript, float]:
        """What is said in a recording, and its length in seconds. Raises as `run` does."""
        self.admit(call)
        found, _ = await self._through(Raw(model, inputs, "transcript", decoding=decoding), call)
        # Where nothing is heard, nothing was said.
        return found.transcript or Transcript(), found.ready.audio_seconds

    async def examine(self, raw: Raw, call: Call) -> tuple[Found, Original, Sequence[Match]]:
        """What an explanation begins with, and the matches. Raises as `run` does; asks for no admission."""
        found, matches = await self._through(raw, call)
        if found.original is None:
            raise ValueError("an explanation needs an original")
        return found, found.original, matches

    async def vary(self, model: Model, original: Original, variation: Variation, call: Call) -> Doubles:
        """By what contributions fall where something is left out. See `examine`."""
        ready = Ready(
            Raw(model, Sample(), "fall"),
            () if variation.example is None else (variation.example,),
            0.0,
            varied=(original, variation),
        )
        async with asyncio.timeout(call.timeout_seconds()), self.room_for_explanations:
            with self.door.entered(call):
                found, _ = await self._forward.submit(ready, flow=call.flow, deadline=call.deadline)
        if found.fall is None:
            raise ValueError("a variation gives a fall")
        return found.fall

    async def search(self, query: Search, call: Call) -> Sequence[Match]:
        """Search by what needs no forward pass; `query` runs in a worker. Raises as `run` does."""
        self.admit(call)
        async with asyncio.timeout(call.timeout_seconds()):
            with self.door.entered(call):
                (matched, _) = await self._searcher.submit((query, None), flow=call.flow, deadline=call.deadline)
        call.record("search", matched.seconds)
        return matched.matches

    async def warm_up(self, model: Model) -> None:
        """Run one real inference of the model, and one transcription where it can.

        Raises:
            Exception: whatever the engine raises.
        """
        search = None if model.gallery is None else model.gallery.search
        call = Call(record=lambda *_: None)
        # By limits of its own: an operator may allow less than what warms up.
        sample = await asyncio.to_thread(model.decode, model.some_inputs(), DecodeLimits())
        await self._answer(Raw(model, sample, search=search), call)
        if model.predictor.transcriber is not None:
            await self._through(Raw(model, sample, "transcript"), call)
        if model.captioner is not None:
            writing = Writing(max_tokens=1)
            await self.generation.write(Raw(model, sample, "text"), Text(writing), replace(call, admitted=True))

    async def _answer(self, raw: Raw, call: Call) -> tuple[Found, Answer]:
        found, matches = await self._through(raw, call)
        if found.prediction is None:
            raise ValueError("an answer needs a prediction")
        [example] = found.ready.examples
        num_text_tokens = raw.model.predictor.preprocessors.cost(example).get("text", 0)
        return found, Answer(raw.model, found.prediction, matches, num_text_tokens=num_text_tokens)

    async def _through(self, raw: Raw, call: Call) -> tuple[Found, Sequence[Match]]:
        async with asyncio.timeout(call.timeout_seconds()):
            with self.door.entered(call):
                ended, queued = await self._decoder.submit(raw, flow=call.flow, deadline=call.deadline)
        result: Any = ended  # of the last stage that it came to
        matches: Sequence[Match] = []
        if isinstance(result, Matched):
            call.record("search", result.seconds)
            matches, result = result.matches, result.found
        found: Found = Found(result, {}) if isinstance(result, Ready) else result
        call.record("decode", found.ready.seconds)
        for stage, seconds in found.seconds.items():
            call.record(stage, seconds)
        call.record("queue", queued)
        return (replace(found, queued=queued) if raw.for_text else found), matches

    async def _replace_stuck(self) -> None:
        """Look after the workers for as long as the service runs."""
        limit_seconds = self._settings.stuck_seconds
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, limit_seconds / 4))
            try:
                self._decoder.replace_stuck(limit_seconds)
                self._searcher.replace_stuck(limit_seconds)
                hung = [batch[0].raw.model for batch in self._forward.replace_stuck(limit_seconds)]
                texts = self.generation.scribes.replace_stuck(limit_seconds)
                for model in hung + [draft.model for drafts in texts for draft in drafts]:
                    self._note(model, False)  # until an inference shows that it works
            except Exception:  # no thread may be had just now; the next look tries again
                _LOG.exception("looking after the workers failed")

    def _note(self, model: Model, works: bool) -> None:
        """Note whether the model's last pass went well."""
        key = (model.name, model.version)
        if works:
            self.failed.discard(key)
        else:
            self.failed.add(key)
