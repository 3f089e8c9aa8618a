"""Training batches: from row numbers to encoder inputs, with everything random drawn from one generator.

# N rows of the manifest, B batch, M modalities, H heads, n rows that have a modality"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.nets.encoders import join_features
from models.nets.encoders.image import Lower
from models.nets.encoders.sensors import SensorReadings
from models.nets.encoders.text import TextLower
from models.preprocess.text import pad_ids
from training.augmentation import Augmentation
from training.data.augment import augment_maps, augment_pixels, drop_subwords
from training.data.image_cache import LowerCache
from training.data.pairs import Pairs, Rows
from training.data.readings import SensorRows
from training.data.recordings import AudioInputs, Recordings
from training.data.text_cache import StateCache
from training.data.truth import Truth
from training.data.written import Written
from training.objective_config import Unsaid

Ids = NDArray[np.int64]
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, eq=False)
class EncoderInputs:
    """Inputs of the encoders' upper halves, each only for the rows that have its modality, as in `Batch`."""

    image: Lower | None = None
    text: TextLower | None = None
    audio: AudioInputs | None = None
    sensors: SensorReadings | None = None

    def to(self, device: torch.device) -> Self:
        """The same on a device; where they are there already, nothing is copied."""
        image = None if self.image is None else Lower(*(part.to(device) for part in self.image))
        text = None if self.text is None else TextLower(*(part.to(device) for part in self.text))
        sensors = None if self.sensors is None else SensorReadings(*(part.to(device) for part in self.sensors))
        return type(self)(image, text, None if self.audio is None else self.audio.to(device), sensors)


class BatchSource:
    """Assembles batches from the caches of the encoders' lower halves, or from token ids where text has none.

    What it gives is on `device`. present_NM: bool; truth: of all rows; labels_NH: the labels of it.
    """

    def __init__(
        self,
        pairs: Pairs,
        modalities: tuple[str, ...],
        truth: Truth | NDArray[np.int64],
        cache: LowerCache | None,
        captions: Sequence[Sequence[Ids]],
        states: StateCache | None = None,
        device: torch.device = CPU,
        recordings: Recordings | None = None,
        readings: SensorRows | None = None,
        written: Written | None = None,
        unsaid: Unsaid | None = None,
    ) -> None:
        self.pairs = pairs
        self.modalities = modalities
        self.cache = cache
        self.captions = captions
        self.states = states
        self.recordings = recordings
        self.readings = readings
        self.written = written
        self.device = device
        self.truth = (truth if isinstance(truth, Truth) else Truth.of_labels(truth)).to(device)
        self.labels_NH = self.truth.labels_NH
        self.has = {
            "image": pairs.image_of_N >= 0,
            "text": np.array([bool(part) for part in captions], dtype=bool),
            "audio": pairs.recording_of_N >= 0,
            "sensors": np.zeros(len(pairs.records), dtype=bool) if readings is None else readings.has_N,
        }
        self.present_NM = torch.from_numpy(np.stack([self.has[name] for name in modalities], axis=1))
        self.present_NM = self.present_NM.to(device)
        ruled_out = [unsaid is not None and unsaid.rules_out((), record) for record in pairs.records]
        self._usual_N = ~torch.tensor(ruled_out, dtype=torch.bool, device=device)
        self._said_by = frozenset(modalities if unsaid is None else unsaid.without)
        numbers: dict[tuple[str, ...], int] = {}
        self._text_of_N = np.array([numbers.setdefault(record.texts, len(numbers)) for record in pairs.records])

    def shown(self, rows: Rows, part: Collection[str]) -> tuple[Tensor, Tensor]:
        """Which rows (B,) a subset of the modalities is learnt and measured on, and what it sees of them (B, M).

        Those that have all of it; without what says what is meant, those where the usual is (`Unsaid`).
        """
        wanted_M = torch.tensor([name in part for name in self.modalities], device=self.device)
        present_BM = self.present_NM[rows]
        keep_B = present_BM[:, wanted_M].all(1)
        if self._said_by.isdisjoint(part):
            keep_B = keep_B & self._usual_N[rows]
        return keep_B, present_BM & wanted_M

    def of_subset(self, rows: Rows, part: Collection[str]) -> Rows:
        """Those of the rows that a subset of the modalities is learnt and measured on."""
        found: Rows = rows[self.shown(rows, part)[0].cpu().numpy()]
        return found

    def same(self, rows: Rows) -> Tensor:
        """(B, B) bool: rows of an equal text, image, recording or readings: no negatives of one another."""
        numbers = {"text": self._text_of_N, "image": self.pairs.image_of_N, "audio": self.pairs.recording_of_N}
        if self.readings is not None:
            numbers["sensors"] = self.readings.number_of_N
        equal_BB = np.zeros((len(rows), len(rows)), dtype=bool)
        for name, number_of_N in numbers.items():
            own_B = number_of_N[rows]
            equal_BB |= (own_B[:, None] == own_B) & self.has[name][rows]
        return torch.from_numpy(equal_BB).to(self.device)

    def plain(self, rows: Rows, *, variant: int = 0) -> EncoderInputs:
        """Nothing random: first captions, images as they are, or all in another of their variants."""
        image = self._images(rows, np.full(len(rows), variant, dtype=np.intp))
        text = self._texts([(int(row), 0) for row in rows if self.captions[row]])
        heard = self._heard(rows)
        audio = self.recordings.plain(heard) if self.recordings is not None and len(heard) else None
        read = rows[self.has["sensors"][rows]]
        sensors = self.readings.plain(read) if self.readings is not None and len(read) else None
        return EncoderInputs(image, text, audio, sensors).to(self.device)

    def augmented(
        self, rows: Rows, config: Augmentation, unknown_id: int, generator: torch.Generator
    ) -> EncoderInputs:
        """One of each row's captions, all as likely, and mirroring; maps, or pixels, and subwords augmented.

        Recordings and readings are changed at random, each still one row's.
        """
        picks = torch.randint(0, 1 << 30, (2, len(rows)), generator=generator).numpy()
        num_variants = 1 if self.cache is None else self.cache.num_variants
        image = self._images(rows, (picks[0] % num_variants).astype(np.intp))
        if image is not None and self.cache is not None:
            augment = augment_pixels if self.cache.holds_pixels else augment_maps
            image = augment(image, config, generator)
        options = [(int(row), int(pick)) for row, pick in zip(rows, picks[1], strict=True)]
        chosen = [(row, pick % len(self.captions[row])) for row, pick in options if self.captions[row]]
        text = self._texts(chosen)
        if text is not None:
            text = drop_subwords(text, config, unknown_id, generator)
        audio = self._augmented_audio(rows, config, generator, joined=False)
        read = rows[self.has["sensors"][rows]]
        sensors = None
        if self.readings is not None and len(read):
            sensors = self.readings.augmented(read, config, generator)
        return EncoderInputs(image, text, audio, sensors).to(self.device)

    def speech(self, rows: Rows, config: Augmentation, generator: torch.Generator) -> EncoderInputs:
        """Recordings alone, changed at random, some of them followed by others of their speaker."""
        return EncoderInputs(audio=self._augmented_audio(rows, config, generator, joined=True)).to(self.device)

    def _heard(self, rows: Rows) -> Rows:
        heard: Rows = rows[self.has["audio"][rows]]
        return heard

    def _augmented_audio(
        self, rows: Rows, config: Augmentation, generator: torch.Generator, *, joined: bool
    ) -> AudioInputs | None:
        heard = self._heard(rows)
        if self.recordings is None or not len(heard):
            return None
        rng = np.random.default_rng(int(torch.randint(0, 1 << 62, (), generator=generator)))
        return self.recordings.augmented(heard, config, rng, joined=joined)

    def _images(self, rows: Rows, variants: Rows) -> Lower | None:
        has = self.has["image"][rows]
        if self.cache is None or not has.any():
            return None
        return self.cache.load(variants[has], self.pairs.image_of_N[rows][has])

    def _texts(self, chosen: Sequence[tuple[int, int]]) -> TextLower | None:
        """The captions of these (row, which of its captions)."""
        if not chosen or "text" not in self.modalities:
            return None
        if self.states is not None:
            return self.states.load(chosen)
        arrays = pad_ids([self.captions[row][caption] for row, caption in chosen])
        ids_nT = torch.from_numpy(arrays["ids"])
        return TextLower(ids_nT, torch.from_numpy(arrays["lengths"]), join_features((), ids_nT))
