"""How far transcripts are from what was said: shares of words and characters, by jiwer.

Both sides are normalised alike: case, punctuation and width are not heard."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jiwer

from models.spoken_text import normalise_transcript

MOST_CONFUSIONS = 12


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words put in, left out or taken for others, by words that were said; 0 is perfect, and it may exceed 1."""
    return float(jiwer.process_words(*_normalised(said, heard)).wer)


def transcript_figures(said: Sequence[str], heard: Sequence[str]) -> dict[str, Any]:
    """`wer`, `cer` (of characters), `exact` (share of recordings without any fault), `rows`, and `confusions`.

    confusions: the most frequent, each as (said, heard, how often); "" is no word.
    """
    references, found = _normalised(said, heard)
    confusions = word_confusions(said, heard)
    exact = sum(one == other for one, other in zip(references, found, strict=True)) / len(references)
    return {
        "wer": word_error_rate(said, heard),
        "cer": float(jiwer.process_characters(references, found).cer),
        "exact": exact,
        "rows": len(references),
        "confusions": [[*words, count] for words, count in confusions.most_common(MOST_CONFUSIONS)],
    }


def word_confusions(said: Sequence[str], heard: Sequence[str]) -> Counter[tuple[str, str]]:
    """Words that were taken for others: (said, heard) → how often; "" for none."""
    references, found = _normalised(said, heard)
    counts: Counter[tuple[str, str]] = Counter()
    aligned = jiwer.process_words(references, found)
    for reference, hypothesis, chunks in zip(
        aligned.references, aligned.hypotheses, aligned.alignments, strict=True
    ):
        for chunk in chunks:
            here = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            there = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "substitute":
                counts.update(zip(here, there, strict=True))
            elif chunk.type == "delete":
                counts.update((word, "") for word in here)
            elif chunk.type == "insert":
                counts.update(("", word) for word in there)
    return counts


def _normalised(said: Sequence[str], heard: Sequence[str]) -> tuple[list[str], list[str]]:
    return [normalise_transcript(text) for text in said], [normalise_transcript(text) for text in heard]
