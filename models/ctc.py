"""Frames to text: the tokens of a CTC head's log-probabilities, read greedily or by beam search.

Knows tokens and frames; knows nothing of sound, and runs no network.

# T frames, V tokens"""

import importlib
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.config import WORD_START
from models.errors import ConfigError
from models.spoken_text import decode_tokens
from models.transcript import GREEDY, Alternative, Decoding, Transcript, Word

BLANK = 0
_MAX_TOKENS_PER_FRAME = 40
_THRESHOLD = 30.0  # in log-probability, below the best beam
Floats = NDArray[np.float32]


class Spoken(NamedTuple):
    """A token, the frames that it was heard in (the end excluded), and the log-probability of its best one."""

    number: int
    start: int
    end: int
    log_prob: float


class CtcDecoder:
    """Reads transcripts off frames (Graves et al. 2006, CTC). Safe to share by threads."""

    def __init__(
        self,
        tokens: Sequence[str],
        frame_seconds: float,
        *,
        language_model: bytes | None = None,
        language_weight: float = 0.5,
    ) -> None:
        """Prepare.

        Args:
            tokens: as `CtcHead.tokens`.
            frame_seconds: from one frame to the next.
            language_model: of n-grams of the tokens, as ARPA or KenLM write it; counts in beam search alone.
            language_weight: what its log-probabilities (base 10) are multiplied by.
        """
        self._tokens = tuple(tokens)
        self._frame_seconds = frame_seconds
        self._language_model = language_model
        self._language_weight = language_weight
        self._beam: _BeamSearch | None = None

    def decode(self, log_probs_TV: Floats, decoding: Decoding = GREEDY) -> Transcript:
        """The text of one recording; the empty one for no frames.

        A token's probability is that of its best frame; a word's, and the whole's, is the geometric mean of its
        tokens', and of a text without tokens the geometric mean of the blanks'. Of the n best by beam search, an
        alternative's confidence is its share of the probability of all that were kept.

        Raises:
            ConfigError: beam search is asked for, and its library is not installed.
        """
        if not len(log_probs_TV):
            return Transcript()
        if decoding.num_beams == 1 and not decoding.num_alternatives:
            return self._transcript(log_probs_TV, log_probs_TV.argmax(1).tolist())
        if self._beam is None:
            self._beam = _BeamSearch(self._tokens, self._language_model, self._language_weight)
        paths = self._beam.search(log_probs_TV, max(decoding.num_beams, decoding.num_alternatives))
        scores: dict[str, float] = {}
        best_paths: dict[str, list[int]] = {}
        for path, score in paths:
            text = decode_tokens(self._tokens[number] for number, _ in groupby(path) if number != BLANK)
            scores[text] = float(np.logaddexp(scores.get(text, -np.inf), score))
            best_paths.setdefault(text, path)
        ranked = sorted(scores, key=lambda text: -scores[text])
        total = np.logaddexp.reduce(list(scores.values()))
        alternatives = tuple(Alternative(text, float(np.exp(scores[text] - total))) for text in ranked)
        found = self._transcript(log_probs_TV, best_paths[ranked[0]])
        return replace(found, alternatives=alternatives[: decoding.num_alternatives])

    def _transcript(self, log_probs_TV: Floats, path: Sequence[int]) -> Transcript:
        spoken = _runs(log_probs_TV, path)
        words = tuple(self._word(part) for part in _words(spoken, self._tokens))
        if not words:
            return Transcript("", math.exp(float(log_probs_TV[:, BLANK].mean())))
        confidence = _mean(part.log_prob for part in spoken)
        return Transcript(" ".join(word.text for word in words), confidence, words)

    def _word(self, parts: Sequence[Spoken]) -> Word:
        return Word(
            text=decode_tokens(self._tokens[part.number] for part in parts),
            start_seconds=round(parts[0].start * self._frame_seconds, 3),
            end_seconds=round(parts[-1].end * self._frame_seconds, 3),
            confidence=_mean(part.log_prob for part in parts),
        )


def _mean(log_probs: Iterable[float]) -> float:
    found = list(log_probs)
    return math.exp(sum(found) / len(found))


def _runs(log_probs_TV: Floats, path: Sequence[int]) -> list[Spoken]:
    """The tokens of a path of one token a frame: equal neighbours are one, blanks are none."""
    spoken, start = [], 0
    for number, run in groupby(path):
        end = start + len(list(run))
        if number != BLANK:
            spoken.append(Spoken(number, start, end, float(log_probs_TV[start:end, number].max())))
        start = end
    return spoken


def _words(spoken: Sequence[Spoken], tokens: Sequence[str]) -> list[list[Spoken]]:
    words: list[list[Spoken]] = []
    begins = True
    for part in spoken:
        token = tokens[part.number]
        if token == WORD_START:
            begins = True
            continue
        if begins or token.startswith(WORD_START):
            words.append([])
        words[-1].append(part)
        begins = False
    return words


class _BeamSearch:
    """Prefix beam search by flashlight-text, with an n-gram model where there is one."""

    def __init__(self, tokens: Sequence[str], language_model: bytes | None, weight: float) -> None:
        try:
            decoder = importlib.import_module("flashlight.lib.text.decoder")
        except ImportError:
            raise ConfigError(
                "num_beams above 1, and alternatives, need the package flashlight-text. Run: pip install "
                "flashlight-text, or leave them out."
            ) from None
        # It knows no empty token, nor one that holds a space.
        names = ["<blank>", *tokens[1:]]
        self._model = _read_language_model(decoder, language_model, names)
        self._decoder = decoder
        self._weight = weight if language_model else 0.0
        self._num_tokens = len(tokens)

    def search(self, log_probs_TV: Floats, num_beams: int) -> list[tuple[list[int], float]]:
        """Paths of one token a frame with their log-scores, the best first; at least one."""
        options = self._decoder.LexiconFreeDecoderOptions(
            beam_size=num_beams,
            beam_size_token=min(self._num_tokens, _MAX_TOKENS_PER_FRAME),
            beam_threshold=_THRESHOLD,
            lm_weight=self._weight,
            sil_score=0.0,
            log_add=True,
            criterion_type=self._decoder.CriterionType.CTC,
        )
        # One for each call: it holds the state of its search.
        search = self._decoder.LexiconFreeDecoder(options, self._model, -1, BLANK, [])
        emissions = np.ascontiguousarray(log_probs_TV, dtype=np.float32)
        results = search.decode(emissions.ctypes.data, *emissions.shape)
        # A frame is added before the first and after the last one.
        return [(list(result.tokens[1:-1]), float(result.score)) for result in results]


def _read_language_model(decoder: Any, data: bytes | None, names: Sequence[str]) -> Any:
    if data is None:
        return decoder.ZeroLM()
    kenlm = importlib.import_module("flashlight.lib.text.decoder.kenlm")
    dictionary = importlib.import_module("flashlight.lib.text.dictionary").Dictionary(list(names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "language_model"  # the library reads files alone
        path.write_bytes(data)
        try:
            return kenlm.KenLM(str(path), dictionary)
        except Exception as error:
            raise ConfigError(f"the language model cannot be read: {error}") from None
