"""A manifest, decoded and prepared by the trunk: splits, label numbers, token ids, and where the files are.

# N rows of the manifest, H heads, B batch, M modalities"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.batch import Arrays
from models.columns import Columns
from models.config import Preprocessing
from models.decode import decode_image
from models.decode_audio import AudioLimits, decode_audio
from models.errors import InputError, ManifestError
from models.manifest import SPLITS, Record, read_manifest
from models.preprocess import Preprocessors
from models.preprocess.image import ImagePreprocessor
from models.sample import Sample
from models.splits import carve_splits

FILE_MODALITIES = ("image", "audio")
"""Those that come in files; equal ones are one."""

RECORDING_LIMITS = AudioLimits()
"""Of recordings to learn from, the same as of those that are served."""

UNLABELLED = -1
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The rows of a manifest with their splits; still knows nothing of a network.

    image_of_N: index into `images`, -1 where a row has none. Equal files are one image.
    recording_of_N: the same of `recordings`.
    """

    path: Path
    records: Sequence[Record]
    splits: Sequence[str]
    images: Sequence[Path]
    image_of_N: Rows
    hash: str
    recordings: Sequence[Path] = ()
    recording_of_N: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    def __post_init__(self) -> None:
        """Without recordings, no row has one."""
        if len(self.recording_of_N) != len(self.records):
            object.__setattr__(self, "recording_of_N", np.full(len(self.records), -1, dtype=np.intp))

    def rows(self, *splits: str) -> Rows:
        """Indices of the rows of these splits, in the manifest's order."""
        return np.flatnonzero(np.isin(np.array(self.splits), splits))

    def sizes(self) -> dict[str, int]:
        """Rows of each split."""
        return {split: len(self.rows(split)) for split in SPLITS}


class _Files(NamedTuple):
    """The distinct files of a modality: the first of equal ones, its number by digest, and digests by path."""

    paths: list[Path]
    number: dict[str, int]
    digests: dict[Path, str]

    def of(self, path: Path | None) -> int:
        return -1 if path is None else self.number[self.digests[path]]


def load_pairs(path: Path, columns: Columns, *, seed: int, val: float, test: float) -> Pairs:
    """Read a manifest, find equal files, and give every row a split.

    Raises:
        ManifestError: all faults, each with its file and row.
    """
    records = read_manifest(path, columns)
    found = {modality: _distinct_files(records, modality) for modality in FILE_MODALITIES}
    keys = {
        record.id: [
            f"{modality}={found[modality].digests[file]}"
            for modality in FILE_MODALITIES
            if (file := record.file(modality)) is not None
        ]
        for record in records
    }
    splits = carve_splits(records, keys, seed=seed, val=val, test=test)
    whole = hashlib.sha256(path.read_bytes() if path.is_file() else b"")
    for files in found.values():
        whole.update("".join(files.number).encode())
    numbers = {
        modality: np.array([found[modality].of(record.file(modality)) for record in records], dtype=np.intp)
        for modality in FILE_MODALITIES
    }
    return Pairs(
        path,
        records,
        splits,
        found["image"].paths,
        numbers["image"],
        whole.hexdigest(),
        found["audio"].paths,
        numbers["audio"],
    )


def _distinct_files(records: Sequence[Record], modality: str) -> _Files:
    files = _Files([], {}, {})
    for record in records:
        path = record.file(modality)
        if path is None or path in files.digests:
            continue
        digest = files.digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in files.number:
            files.number[digest] = len(files.paths)
            files.paths.append(path)
    return files


def check_files(pairs: Pairs, preprocessing: Preprocessing, advance: Callable[[int], None]) -> None:
    """Decode every image and every recording once.

    Raises:
        ManifestError: naming each file that cannot be decoded, and its first row.
    """
    ways: list[tuple[Path, Callable[[bytes], object]]] = []
    if (image := preprocessing.image) is not None:
        ways += [(path, partial(decode_image, side_px=image.side_px)) for path in pairs.images]
    if (audio := preprocessing.audio) is not None:
        decode = partial(decode_audio, rate_hz=audio.rate_hz, limits=RECORDING_LIMITS)
        ways += [(path, decode) for path in pairs.recordings]
    first_row = {
        path: record.row
        for record in reversed(pairs.records)
        for path in (record.image, record.audio)
        if path is not None
    }

    def fault(way: tuple[Path, Callable[[bytes], object]]) -> str | None:
        path, decode = way
        try:
            decode(path.read_bytes())
        except InputError as error:
            return f"{pairs.path.name}:{first_row[path]}: {path.name}: {error.detail}"
        finally:
            advance(1)
        return None

    with ThreadPoolExecutor() as pool:
        faults = [line for line in pool.map(fault, ways) if line is not None]
    if faults:
        raise ManifestError(faults)


def prepare_pixels(images: Iterable[Path], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode and prepare images as serving does: (n, S, S, 3) uint8."""
    if preprocessing.image is None:
        raise ValueError("this network knows no images")
    preprocessor = ImagePreprocessor(preprocessing.image)
    side = preprocessing.image.side_px
    items: list[Arrays] = []
    for image in images:
        arrays = preprocessor.prepare(Sample(image=decode_image(image.read_bytes(), side_px=side)))
        assert arrays is not None  # noqa: S101 - the sample has an image
        items.append(arrays)
    return preprocessor.collate(items)["pixels"].astype(np.uint8, copy=False)


def label_vocabularies(pairs: Pairs, heads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The labels of each head that occur in train, sorted; a head's cells hold one label each, or several.

    Raises:
        ManifestError: if a head has fewer than two of them.
    """
    train = [pairs.records[row] for row in pairs.rows("train")]
    found = {head: tuple(sorted({label for r in train for label in r.labels_of(head)})) for head in heads}
    faults = [
        f"{pairs.path.name}: column {head!r} has {len(labels)} label(s) in train; a head needs two or more. "
        "Remove it from data.columns."
        for head, labels in found.items()
        if len(labels) < 2
    ]
    if faults:
        raise ManifestError(faults)
    return found


def label_numbers(pairs: Pairs, vocabularies: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    """(N, H) int64: index into the head's labels; -1 for an empty cell, or a label that train does not have."""
    numbers = {head: {label: i for i, label in enumerate(labels)} for head, labels in vocabularies.items()}
    return np.array(
        [
            [table.get(record.labels.get(head, ""), UNLABELLED) for head, table in numbers.items()]
            for record in pairs.records
        ],
        dtype=np.int64,
    ).reshape(len(pairs.records), len(numbers))


def prepare_texts(pairs: Pairs, preprocessors: Preprocessors) -> list[list[NDArray[np.int64]]]:
    """Token ids of every caption of every row, by the trunk's own `prepare`."""
    found = iter(preprocessors.prepare_texts(text for record in pairs.records for text in record.texts))
    return [[next(found)["ids"].astype(np.int64) for _ in record.texts] for record in pairs.records]
