"""Sample to Example to Batch: one preprocessor for each modality, and the table of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from models.batch import Arrays, Batch, Example
from models.config import MODALITIES, Preprocessing
from models.errors import InputError
from models.occlusion import Word
from models.preprocess.audio import AudioPreprocessor
from models.preprocess.image import ImagePreprocessor
from models.preprocess.sensors import SensorPreprocessor
from models.preprocess.text import TextPreprocessor
from models.sample import Sample


class Preprocessor(Protocol):
    """One modality's way from a decoded value to its encoder's inputs."""

    def prepare(self, sample: Sample) -> Arrays | None:
        """Arrays without a batch axis, or None where the sample lacks the modality."""

    def collate(self, items: Sequence[Arrays]) -> Arrays:
        """Stack the arrays of one or more items, in order."""

    def cost(self, arrays: Arrays) -> int:
        """What its encoder's work on one item grows with, in the modality's own unit: pixels, tokens, features."""


class Preprocessors:
    """Prepares samples and collates examples for the modalities that one network knows."""

    def __init__(self, config: Preprocessing, tokenizer: Tokenizer | None = None) -> None:
        """Build a preprocessor for each modality in `config`; text needs the checkpoint's `tokenizer`."""
        table: dict[str, Preprocessor] = {}
        if config.image is not None:
            table["image"] = ImagePreprocessor(config.image)
        if config.text is not None:
            if tokenizer is None:
                raise ValueError("text preprocessing needs a tokenizer")
            table["text"] = TextPreprocessor(config.text, tokenizer)
        if config.audio is not None:
            table["audio"] = AudioPreprocessor(config.audio)
        self._sensors = None if config.sensors is None else SensorPreprocessor(config.sensors)
        if self._sensors is not None:
            table["sensors"] = self._sensors
        self.config = config
        self._image, self._text = table.get("image"), table.get("text")
        self.tokenizer = tokenizer
        self._table: Mapping[str, Preprocessor] = {name: table[name] for name in MODALITIES if name in table}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are prepared, in the order of the batch's M axis."""
        return tuple(self._table)

    def prepare_texts(self, texts: Iterable[str]) -> list[Arrays]:
        """What `prepare` makes of each text, all at once; nothing where the network knows no texts."""
        return self._text.prepare_all(texts) if isinstance(self._text, TextPreprocessor) else []

    def prepare(self, sample: Sample) -> Example:
        """Turn a decoded sample into the arrays that the encoders take.

        Raises:
            InputError: if the sample has none of the modalities that the network knows, or a channel that its
                sensors do not have.
        """
        arrays = {name: part.prepare(sample) for name, part in self._table.items()}
        present = {name: value for name, value in arrays.items() if value is not None}
        if not present:
            known = " or ".join(self.modalities)
            raise InputError(known, f"no input that this model knows. Send at least one of: {known}.")
        if self._sensors is None or sample.sensors is None:
            return Example(present)
        return Example(present, self._sensors.out_of_range(sample.sensors))

    def words(self, text: str) -> list[Word]:
        """See `TextPreprocessor.words`; none where the network knows no text."""
        return self._text.words(text) if isinstance(self._text, TextPreprocessor) else []

    def box(self, height: int, width: int) -> tuple[float, float, float, float] | None:
        """See `ImagePreprocessor.box`; None where the network knows no images."""
        return self._image.box(height, width) if isinstance(self._image, ImagePreprocessor) else None

    def cost(self, example: Example) -> dict[str, int]:
        """By modality that is present, what its encoder's work grows with: an image's pixels, a text's tokens."""
        return {name: self._table[name].cost(arrays) for name, arrays in example.arrays.items()}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack examples in order; an absent modality takes no row and is masked out.

        Raises:
            ValueError: for no examples; an empty batch would hide a batcher's bug.
        """
        if not examples:
            raise ValueError("a batch needs at least one example")
        present_BM = np.array([[name in item.arrays for name in self._table] for item in examples], dtype=bool)
        inputs = {
            name: part.collate([item.arrays[name] for item in examples if name in item.arrays])
            for name, part in self._table.items()
            if any(name in item.arrays for item in examples)
        }
        return Batch(inputs, present_BM, self.modalities)
