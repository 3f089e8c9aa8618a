"""Texts about items: written subword by subword by one pass for all of them, each text by rules of its own.

Knows preprocessing, an engine and a head's subwords; knows no HTTP.

# R texts, k lines of a text, V subwords"""

import math
from collections.abc import Sequence

import numpy as np

from models.batch import Example
from models.caption import Caption, Writing
from models.checkpoint import CheckpointConfig
from models.engine import Encoded, Engine
from models.errors import InputError
from models.lines import Beams, Line, Move, OnText, Plan
from models.preprocess import Preprocessors
from models.subwords import START, Subwords

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
        self._subwords = Subwords(preprocessors.tokenizer, self.head.tokens)

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
        plans = [
            self._plan(example, writing, prompt, told)
            for example, writing, prompt, told in zip(
                examples,
                writings,
                prompts or [""] * len(examples),
                on_text or [None] * len(examples),
                strict=True,
            )
        ]
        if encoded is None:
            encoded = self._engine.encode(
                self._preprocessors.collate([self._looked_at(part) for part in examples])
            )
        return self._write(encoded, plans)

    def _write(self, encoded: Encoded, plans: Sequence[Plan]) -> list[Caption]:
        texts = [(Line if plan.writing.num_beams == 1 else Beams)(self._subwords, plan) for plan in plans]
        given = [(START, *plan.numbers) for plan in plans]
        # What all have is read at once; who has a longer prompt goes on with it while others write.
        read = min(map(len, given))
        ids_RT = np.array([numbers[:read] for numbers in given], dtype=np.int64)
        log_probs_RV, held = self._engine.write(self._engine.begin(encoded), ids_RT)
        # Of each text that goes on: which it is, and how many lines it has.
        live = [(number, 1) for number in range(len(texts))]
        while True:
            start, further = 0, []
            numbers: list[int] = []
            lines: list[int] = []
            for number, count in live:
                if read < len(given[number]):
                    move: Move | None = Move([given[number][read]], [0])
                else:
                    move = texts[number].advance(log_probs_RV[start : start + count])
                if move is not None:
                    numbers += move.numbers
                    lines += [start + line for line in move.lines]
                    further.append((number, len(move.numbers)))
                start += count
            if not further:
                return [text.caption() for text in texts]
            if lines != list(range(start)):
                held = held.take(np.array(lines))
            log_probs_RV, held = self._engine.write(held, np.array(numbers, dtype=np.int64)[:, None])
            live, read = further, read + 1

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
