"""What is said in recordings: cut at their pauses, run through the network, read off its frames, joined again.

Knows preprocessing, an engine and a CTC decoder; knows no HTTP.

# S samples"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.batch import Example
from models.checkpoint import CheckpointConfig
from models.ctc import CtcDecoder
from models.engine import Engine
from models.errors import InputError
from models.preprocess import Preprocessors
from models.sample import Sample
from models.segments import cut
from models.transcript import GREEDY, Alternative, Decoding, Transcript, Word
from models.word_times import place_words


@dataclass(frozen=True, slots=True, eq=False)
class Utterances:
    """A recording's stretches between its pauses, ready to be read, and where each begins, in seconds.

    The first may begin before the recording does, by the silence that is put around.
    """

    examples: tuple[Example, ...] = ()
    starts: tuple[float, ...] = ()


class Transcriber:
    """Reads recordings for one checkpoint. Safe to share by threads."""

    def __init__(
        self, config: CheckpointConfig, preprocessors: Preprocessors, engine: Engine, language_model: bytes | None
    ) -> None:
        """Prepare.

        Args:
            config: of a network with a transcript.
            preprocessors: the checkpoint's.
            engine: that runs it.
            language_model: see `CtcDecoder`.

        Raises:
            ValueError: the network has no transcript.
        """
        head, encoder, audio = config.network.transcript, config.network.audio, config.preprocessing.audio
        if head is None or encoder is None or audio is None:
            raise ValueError("this network has no transcript")
        self.pause_seconds = head.pause_seconds
        self._around_seconds = head.around_seconds
        self.rate_hz = audio.rate_hz
        self._hop_seconds = audio.hop / audio.rate_hz
        self._preprocessors, self._engine = preprocessors, engine
        self._decoder = CtcDecoder(
            head.tokens,
            self._hop_seconds * encoder.subsampling,
            language_model=language_model,
            language_weight=head.language_weight,
        )

    def prepare(self, sample: Sample) -> Utterances:
        """Cut a recording at its pauses. Silence, however long, is nothing.

        Raises:
            InputError: there is no recording.
        """
        if sample.audio is None:
            raise InputError("audio", "there is nothing to transcribe. Send a recording.")
        segments = cut(sample.audio, self.rate_hz, pause_seconds=self.pause_seconds)
        around = round(self._around_seconds * self.rate_hz)
        return Utterances(
            tuple(self._preprocessors.prepare(Sample(audio=np.pad(one.samples_S, around))) for one in segments),
            tuple(one.start_seconds - self._around_seconds for one in segments),
        )

    def transcribe(self, recordings: Sequence[Utterances], decoding: Decoding = GREEDY) -> list[Transcript]:
        """What is said in each recording, in order, by one pass; where nothing is heard, an empty text.

        Raises:
            ConfigError: see `CtcDecoder.decode`.
        """
        examples = [example for recording in recordings for example in recording.examples]
        if not examples:
            return [Transcript() for _ in recordings]
        frames = self._engine.frames(self._preprocessors.collate(examples))
        read = iter(
            self._placed(self._decoder.decode(log_probs_TV[:length], decoding), example)
            for log_probs_TV, length, example in zip(frames.log_probs_nTV, frames.lengths_n, examples, strict=True)
        )
        return [
            join([(start, next(read)) for start in recording.starts], decoding.num_alternatives)
            for recording in recordings
        ]

    def _placed(self, transcript: Transcript, example: Example) -> Transcript:
        """The transcript with its words where they are heard."""
        features_TF = example.arrays["audio"]["features"].astype(np.float32, copy=False)
        return replace(transcript, words=place_words(transcript.words, features_TF, self._hop_seconds))


def join(parts: Sequence[tuple[float, Transcript]], num_alternatives: int) -> Transcript:
    """One transcript of several, each with the second that it begins at.

    Its confidence is the geometric mean of theirs, each counting by its words, at least one; alternatives are the
    likeliest combinations, as likely as all of their parts at once.
    """
    if not parts:
        return Transcript()
    transcripts = [transcript for _, transcript in parts]
    weights = [max(1, len(transcript.words)) for transcript in transcripts]
    logs = [math.log(max(transcript.confidence, 1e-12)) for transcript in transcripts]
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / sum(weights)
    words = [_later(word, start) for start, transcript in parts for word in transcript.words]
    return Transcript(
        text=" ".join(transcript.text for transcript in transcripts if transcript.text),
        confidence=math.exp(mean),
        words=tuple(words),
        alternatives=_combined([transcript.alternatives for transcript in transcripts], num_alternatives),
    )


def _later(word: Word, seconds: float) -> Word:
    return replace(
        word,
        start_seconds=round(max(0.0, word.start_seconds + seconds), 3),
        end_seconds=round(max(0.0, word.end_seconds + seconds), 3),
    )


def _combined(parts: Sequence[Sequence[Alternative]], count: int) -> tuple[Alternative, ...]:
    best = [Alternative("", 1.0)]
    for part in parts if count else ():
        every = [
            Alternative(f"{one.text} {other.text}".strip(), one.confidence * other.confidence)
            for one in best
            for other in part
        ]
        best = heapq.nlargest(count, every, key=lambda one: one.confidence)
    return tuple(best) if count else ()
