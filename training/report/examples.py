"""Which rows a report shows: queries drawn by a seed, and the errors that the model was surest of.

# n rows of an output, C classes"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.measures.evaluate import head_labels
from training.measures.matching import equal_texts
from training.measures.outputs import SubsetOutput
from training.measures.writing import cider_of_each

NUM_QUERIES = 6
TOP_K = 5
WAYS = (("text", "image"), ("image", "text"))


@dataclass(frozen=True, slots=True)
class Match:
    """A gallery row that a query found; `score` is the cosine."""

    row: int
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A row whose one modality looks for the other.

    matches: the nearest TOP_K, the nearest first. rank: of the first right one in the whole gallery, from 1;
    as in the figures, a tie counts against it.
    """

    row: int
    matches: tuple[Match, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row whose best class is not its label; `score` is the calibrated one of the class it was given."""

    row: int
    label: str
    predicted: str
    score: float


def retrieval_queries(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], *, num: int = NUM_QUERIES, seed: int = 0
) -> dict[tuple[str, str], list[Query]]:
    """The same few rows as queries each way, by (query's modality, gallery's); drawn blindly, by `seed`."""
    if not {"image", "text", "image+text"} <= outputs.keys():
        return {}
    rows = np.intersect1d(outputs["image"].rows, outputs["image+text"].rows)
    relevant = equal_texts(records, rows)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:num])
    vectors = {name: outputs[name].at(rows).embedding_nE for name in ("image", "text")}
    return {
        (asked, found): [
            _query(place, vectors[found] @ vectors[asked][place], relevant[place], rows) for place in drawn
        ]
        for asked, found in WAYS
    }


@dataclass(frozen=True, slots=True)
class WrittenText:
    """What was written about a row, what a person wrote, and CIDEr of the one beside all of the others."""

    row: int
    text: str
    theirs: str
    cider: float


def written_texts(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], *, num: int
) -> tuple[list[WrittenText], list[WrittenText]]:
    """The best texts, the best first, and the worst, the worst first; no text twice. Empty for none."""
    output = next((part for part in outputs.values() if part.written is not None), None)
    if output is None or output.written is None:
        return [], []
    known = [
        (int(row), text) for row, text in zip(output.rows, output.written, strict=True) if records[row].captions
    ]
    if not known:
        return [], []
    ciders = cider_of_each([records[row].captions for row, _ in known], [text for _, text in known])
    found = [
        WrittenText(row, text, records[row].captions[0], cider)
        for (row, text), cider in zip(known, ciders, strict=True)
    ]
    order = sorted(found, key=lambda one: (-one.cider, one.row))
    once = list({one.text: one for one in reversed(order)}.values())[::-1]
    worst = list({one.text: one for one in order}.values())[::-1]
    return once[:num], worst[:num]


def mistakes(
    output: SubsetOutput, subset: str, records: Sequence[Record], config: CheckpointConfig, *, num: int
) -> dict[str, list[Mistake]]:
    """The most confident wrong predictions of each head, the surest first; heads without any are left out.

    A label that the model does not know is left out too: it could not be right.
    """
    found: dict[str, list[Mistake]] = {}
    for head, logits_nC in output.logits.items():
        names = config.network.classes[head].labels
        multi_label = config.network.classes[head].multi_label
        labels_n = head_labels(records, output.rows, head, config)
        wrong_n = np.flatnonzero((labels_n >= 0) & (logits_nC.argmax(1) != labels_n))
        all_of_head = []
        for place in wrong_n:
            scores_C = config.calibration.probabilities(head, subset, logits_nC[place], multi_label=multi_label)
            best = int(scores_C.argmax())
            all_of_head.append(
                Mistake(int(output.rows[place]), names[labels_n[place]], names[best], float(scores_C[best]))
            )
        if all_of_head:
            found[head] = sorted(all_of_head, key=lambda mistake: -mistake.score)[:num]
    return found


def _query(
    place: int, scores_n: NDArray[np.floating], relevant: NDArray[np.intp], rows: NDArray[np.intp]
) -> Query:
    nearest = np.argsort(-scores_n, kind="stable")[:TOP_K]
    ahead_n = scores_n >= scores_n[relevant].max()
    ahead_n[relevant] = False
    matches = tuple(Match(int(rows[at]), float(scores_n[at]), bool(at in relevant)) for at in nearest)
    return Query(int(rows[place]), matches, 1 + int(ahead_n.sum()))
