"""Texts about items: written subword by subword by one pass for all of them, each text by rules of its own.

Knows preprocessing, an engine and a head's subwords; knows no HTTP."""

import math
from collections.abc import Sequence

from models.batch import Example
from models.caption import Caption, Writing
from models.checkpoint import CheckpointConfig
from models.engine import Encoded, Engine
from models.errors import InputError
from models.lines import OnText, Plan
from models.preprocess import Preprocessors
from models.subwords import Subwords
from models.writer import Writer

MAX_BEAMS = 16


class Captioner:
    """Writes texts for one checkpoint. Safe to share by threads."""

    def __init__(self, config: CheckpointConfig, preprocessors: Preprocessors, engine: Engine) -> None:
        """Prepare.

        Args:
            config: of a network with a caption.
            preprocessors: the checkpoint's.
            engine: that runs it.

        Raises:
            ValueError: the network has no caption, or there is no tokenizer.
        """
        if config.network.caption is None or preprocessors.tokenizer is None:
            raise ValueError("this network writes no captions")
        self.head = config.network.caption
        self._preprocessors, self._engine = preprocessors, engine
        self._subwords = Subwords(preprocessors.tokenizer, self.head.tokens, self.head.capitals)

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities that are looked at; an item needs one of them, unless `writes_blindly`."""
        return self.head.reads

    @property
    def writes_blindly(self) -> bool:
        """Whether a prompt alone is gone on with too."""
        return self.head.blind > 0

    def check(self, example: Example, writing: Writing, prompt: str = "") -> None:
        """Tell before any work whether a text can be written so.

        Raises:
            InputError: naming the field at fault.
        """
        self._plan(example, writing, prompt, None)

    def caption(
        self,
        examples: Sequence[Example],
        writings: Sequence[Writing],
        prompts: Sequence[str] = (),
        on_text: Sequence[OnText | None] = (),
        *,
        encoded: Encoded | None = None,
    ) -> list[Caption]:
        """A text about each item, in order.

        Args:
            examples: the items. Modalities that are not looked at are not encoded.
            writings: how each text is written.
            prompts: what each goes on from; "" for none. None at all: "" for each.
            on_text: told of each new piece of its text, from this thread: whole characters, and none that a stop
                string may still take back; together they are `Caption.text`. False ends the text, and frees its
                place. Of beams there is one piece, at the end.
            encoded: the items by this very engine, where that is done already.

        Raises:
            InputError: see `check`.
        """
        if not examples:
            return []
        writer = self.writer()
        pages = [
            writer.add(example, writing, prompt, told)
            for example, writing, prompt, told in zip(
                examples,
                writings,
                prompts or [""] * len(examples),
                on_text or [None] * len(examples),
                strict=True,
            )
        ]
        ended = dict(writer.step(encoded))
        while len(writer):
            ended |= writer.step()
        return [ended[page] for page in pages]

    def writer(self) -> Writer:
        """For one thread: texts that join and leave while others are written."""
        return Writer(self._engine, self._subwords, plan=self._plan, encode=self._encode)

    def _encode(self, examples: Sequence[Example]) -> Encoded:
        return self._engine.encode(self._preprocessors.collate([self._looked_at(part) for part in examples]))

    def _looked_at(self, example: Example) -> Example:
        return Example({name: arrays for name, arrays in example.arrays.items() if name in self.reads})

    def _plan(self, example: Example, writing: Writing, prompt: str, on_text: OnText | None) -> Plan:
        if not self.writes_blindly and not set(self.reads) & set(example.arrays):
            known = " or ".join(self.reads)
            raise InputError(self.reads[0], f"there is nothing to write about. Send at least one of: {known}.")
        _check_numbers(writing)
        numbers = tuple(self._subwords.spell([prompt])[0])
        room = self.head.max_tokens - len(numbers)
        if room < 1:
            raise InputError(
                "text",
                f"{len(numbers)} subwords leave no room to go on: texts have {self.head.max_tokens} at most. "
                "Send fewer words.",
            )
        penalty, runs = writing.length_penalty, writing.no_repeat_ngram
        return Plan(
            writing=writing,
            max_tokens=room if writing.max_tokens is None else min(writing.max_tokens, room),
            length_penalty=self.head.length_penalty if penalty is None else penalty,
            no_repeat_ngram=self.head.no_repeat_ngram if runs is None else runs,
            prompt=prompt,
            numbers=numbers,
            on_text=on_text,
        )


def _check_numbers(writing: Writing) -> None:
    """Raise an InputError for a number that nothing can be written by."""
    faults = {
        "max_tokens": (writing.max_tokens is None or writing.max_tokens >= 1, "must be at least 1"),
        "num_beams": (1 <= writing.num_beams <= MAX_BEAMS, f"must be between 1 and {MAX_BEAMS}"),
        "temperature": (0 <= writing.temperature < math.inf, "must be a number from 0 on"),
        "top_p": (0 < writing.top_p <= 1, "must be above 0, and at most 1"),
        "seed": (writing.seed is None or writing.seed >= 0, "must be 0 or more"),
        "length_penalty": (
            writing.length_penalty is None or 0 <= writing.length_penalty < math.inf,
            "must be a number from 0 on",
        ),
        "no_repeat_ngram": (writing.no_repeat_ngram is None or writing.no_repeat_ngram >= 0, "must be 0 or more"),
    }
    for field, (is_right, rule) in faults.items():
        if not is_right:
            raise InputError(field, f"{rule}.")
    if writing.num_beams > 1 and writing.temperature:
        raise InputError("temperature", "beams draw nothing. Send num_beams 1, or leave temperature out.")
