"""Why a prediction is what it is: what each modality added to it, which parts of the image, which words.

The quantity explained is what the answer shows: a head's calibrated probability of the label that came out first,
or its number. What the modalities contributed are its exact Shapley values. The weight of a cell or a word is by
how much the contribution of its modality falls where it is left out. Knows no queue: whoever calls says how many
variations go into one pass.

# n variations, K heads, M modalities, S subsets of modalities"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from models.batch import Example
from models.engine import Encoded, EncodedArrays, Tokens
from models.occlusion import Detail, Grid, Word, spans
from models.predictor import Prediction, Predictor
from models.sample import Sample
from models.shapley import Doubles, Values, contribution, contributions, subsets


class Quantity(NamedTuple):
    """What is explained of a head: a label's probability by its place, or where that is None its number.

    base: what is known before anything is seen: all labels alike, or the training rows' mean.
    """

    head: str
    label: int | None
    base: float


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An item that is to be explained, prepared.

    words: of its text, what is left out one by one.
    box: left, top, right and bottom of what the network sees of its image, in shares of the image's sides.
    """

    example: Example
    text: str
    words: tuple[Word, ...]
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """A subject that went through the network whole: one row, and what is explained of it by subset.

    details: what a caption looks at, where somebody asked for it.
    """

    subject: Subject
    encoded: EncodedArrays
    prediction: Prediction
    quantities: tuple[Quantity, ...]
    values: Values
    details: Mapping[str, Tokens] = field(default_factory=dict)


class Variation(NamedTuple):
    """One thing left out of one modality; `example` holds only that modality, None where nothing of it is left."""

    modality: str
    example: Example | None


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """The explanation of one head, in the unit of what it says. `cells` (R, C), `words` where there are such."""

    quantity: Quantity
    contributions: Mapping[str, float]
    cells: Doubles | None = None
    words: Doubles | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Of one item."""

    subject: Subject
    heads: tuple[Weighed, ...]


class Explainer:
    """Explains what one predictor says. Holds nothing, so it may be made for each call."""

    def __init__(self, predictor: Predictor, detail: Detail) -> None:
        self._predictor = predictor
        self._engine = predictor.engine
        self._grid = Grid(detail.cells)
        self._detail = detail

    def prepare(self, sample: Sample) -> Subject:
        """See `Predictor.prepare`, and raises as it does."""
        preprocessors = self._predictor.preprocessors
        words = [] if sample.text is None else preprocessors.words(sample.text)
        return Subject(
            self._predictor.prepare(sample),
            sample.text or "",
            tuple(spans(words, self._detail.words)) if self._detail.words else (),
            None if sample.image is None else preprocessors.box(*sample.image.shape[:2]),
        )

    def originals(self, subjects: Sequence[Subject], with_details: Sequence[bool] = ()) -> list[Original]:
        """Encode the items in one pass, and fuse every subset of each one's modalities.

        Args:
            subjects: the items.
            with_details: of each, whether what a caption looks at is kept; of none where left out.
        """
        examples = [subject.example for subject in subjects]
        batch = self._predictor.preprocessors.collate(examples)
        encoded = self._engine.encode(batch)
        kept = with_details or [False] * len(subjects)
        found = [
            self._original(subject, encoded, row, keeps)
            for row, (subject, keeps) in enumerate(zip(subjects, kept, strict=True))
        ]
        predictions = [original.prediction for original in found]
        whole = self._predictor.with_inputs(predictions, examples, batch, encoded)
        return [replace(original, prediction=one) for original, one in zip(found, whole, strict=True)]

    def variations(self, original: Original) -> list[Variation]:
        """Everything that is left out in turn: the windows of its image, then the words of its text."""
        arrays = original.subject.example.arrays
        found: list[Variation] = []
        if "image" in arrays and self._detail.cells:
            pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = arrays["image"]["pixels"].astype(np.uint8)
            hidden = (self._grid.occlude(pixels, window) for window in self._grid.windows)
            found.extend(_only("image", {"pixels": copy}) for copy in hidden)
        if "text" in arrays:
            ids, words = arrays["text"]["ids"], original.subject.words
            of_words = sorted(place for word in words for place in word.places)
            for word in words:
                # Where the text has nothing but this word, special tokens alone are no text.
                left = None if len(word.places) == len(of_words) else np.delete(ids, word.places)
                found.append(Variation("text", None) if left is None else _only("text", {"ids": left}))
        return found

    def fall(self, works: Sequence[tuple[Original, Variation]]) -> list[Doubles]:
        """For each, (K,): by how much the contribution of the modality falls. One pass over all."""
        falls: dict[int, Doubles] = {}
        seen = [(row, work[1].example) for row, work in enumerate(works) if work[1].example is not None]
        if seen:
            rows, examples = zip(*seen, strict=True)
            encoded = self._engine.encode(self._predictor.preprocessors.collate(examples))
            alike: dict[tuple[int, str], list[int]] = {}
            for place, row in enumerate(rows):
                original, variation = works[row]
                alike.setdefault((id(original), variation.modality), []).append(place)
            for (_, modality), places in alike.items():
                original = works[rows[places[0]]][0]
                found_nK = self._contribution(original, modality, encoded.take(np.array(places, dtype=np.intp)))
                whole_K = contribution(modality, original.values)
                falls |= {rows[place]: whole_K - own_K for place, own_K in zip(places, found_nK, strict=True)}
        # What is not there contributes nothing.
        return [
            falls[row] if row in falls else contribution(variation.modality, original.values)
            for row, (original, variation) in enumerate(works)
        ]

    def explanation(self, original: Original, falls: Sequence[Doubles]) -> Explanation:
        """Put together what `fall` gave for all `variations` of it, in their order."""
        num_windows = len(self._grid.windows) if original.subject.box and self._detail.cells else 0
        falls_nK = np.array(falls).reshape(len(falls), len(original.quantities))
        added = contributions(original.values)
        heads = [
            Weighed(
                quantity,
                {name: float(added[name][place]) for name in original.prediction.modalities_used},
                self._grid.spread(falls_nK[:num_windows, place]) if num_windows else None,
                falls_nK[num_windows:, place] if original.subject.words else None,
            )
            for place, quantity in enumerate(original.quantities)
        ]
        return Explanation(original.subject, tuple(heads))

    def _original(self, subject: Subject, encoded: Encoded, row: int, with_details: bool) -> Original:
        here = subsets(subject.example.modalities)
        one = encoded.take(np.array([row], dtype=np.intp))
        kept = EncodedArrays(one.vectors_BMD, dict(one.tokens))
        predictions = self._read(kept.take(np.zeros(len(here), dtype=np.intp)), here)
        quantities = self._quantities(predictions[-1])
        values = {frozenset[str](): np.array([quantity.base for quantity in quantities])}
        values |= {some: _measure(found, quantities) for some, found in zip(here, predictions, strict=True)}
        details = dict(one.details) if with_details else {}
        return Original(subject, kept, predictions[-1], quantities, values, details)

    def _contribution(self, original: Original, modality: str, varied: Encoded) -> list[Doubles]:
        """Of the modality, (K,) for each of the n rows that hold it alone and stand for the original's own."""
        with_it = [some for some in original.values if modality in some]
        arrays = EncodedArrays(varied.vectors_BMD, dict(varied.tokens))
        num_rows, column = len(arrays.vectors_BMD), self._predictor.modalities.index(modality)
        own = original.encoded.take(np.zeros(num_rows, dtype=np.intp))
        own.vectors_BMD[:, column] = arrays.vectors_BMD[:, column]
        tokens: dict[str, Tokens] = dict(own.tokens)
        if modality in tokens:
            tokens[modality] = arrays.tokens[modality]
        each = EncodedArrays(own.vectors_BMD, tokens).take(np.repeat(np.arange(num_rows), len(with_it)))
        predictions = self._read(each, with_it * num_rows)
        found = []
        for begin in range(0, len(predictions), len(with_it)):
            part = predictions[begin : begin + len(with_it)]
            measured = {some: _measure(one, original.quantities) for some, one in zip(with_it, part, strict=True)}
            found.append(contribution(modality, {**original.values, **measured}))
        return found

    def _read(self, encoded: EncodedArrays, shown: Sequence[frozenset[str]]) -> list[Prediction]:
        """Fuse of each row just what is shown of it."""
        present_BM = np.array([[name in some for name in self._predictor.modalities] for some in shown])
        return self._predictor.read(self._engine.fuse(encoded, present_BM), present_BM)

    def _quantities(self, prediction: Prediction) -> tuple[Quantity, ...]:
        network, found = self._predictor.config.network, []
        for head, scores_C in prediction.scores.items():
            base = 0.5 if network.classes[head].multi_label else 1 / len(scores_C)
            found.append(Quantity(head, int(scores_C.argmax()), base))
        numbers = [Quantity(head, None, network.targets[head].mean) for head in prediction.values]
        return (*found, *numbers)


def _only(modality: str, arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]) -> Variation:
    return Variation(modality, Example({modality: arrays}))


def _measure(prediction: Prediction, quantities: Sequence[Quantity]) -> Doubles:
    """(K,): what is explained of this prediction."""
    return np.array(
        [
            prediction.values[head].value if label is None else float(prediction.scores[head][label])
            for head, label, _ in quantities
        ]
    )
