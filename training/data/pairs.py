"""A manifest, decoded and prepared by the trunk: splits, label numbers, token ids, and where the pixels are.

# N rows of the manifest, H heads, I distinct images, B batch, M modalities"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.batch import Arrays
from models.config import Preprocessing
from models.decode import decode_image
from models.errors import InputError, ManifestError
from models.manifest import SPLITS, Columns, Record, carve_splits, read_manifest
from models.preprocess import Preprocessors
from models.preprocess.image import ImagePreprocessor
from models.sample import Sample

UNLABELLED = -1
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The rows of a manifest with their splits; still knows nothing of a network.

    image_of_N: index into `images`, -1 where a row has none. Equal files are one image.
    """

    path: Path
    records: Sequence[Record]
    splits: Sequence[str]
    images: Sequence[Path]
    image_of_N: Rows
    hash: str

    def rows(self, *splits: str) -> Rows:
        """Indices of the rows of these splits, in the manifest's order."""
        return np.flatnonzero(np.isin(np.array(self.splits), splits))

    def sizes(self) -> dict[str, int]:
        """Rows of each split."""
        return {split: len(self.rows(split)) for split in SPLITS}


def load_pairs(path: Path, columns: Columns, *, seed: int, val: float, test: float) -> Pairs:
    """Read a manifest, find equal images, and give every row a split.

    Raises:
        ManifestError: all faults, each with its file and row.
    """
    records = read_manifest(path, columns)
    digests: dict[Path, str] = {}
    for record in records:
        if record.image is not None and record.image not in digests:
            digests[record.image] = hashlib.sha256(record.image.read_bytes()).hexdigest()
    number: dict[str, int] = {}
    images: list[Path] = []
    for image, digest in digests.items():
        if digest not in number:
            number[digest] = len(images)
            images.append(image)
    keys = {record.id: f"image={digests[record.image]}" for record in records if record.image is not None}
    splits = carve_splits(records, keys, seed=seed, val=val, test=test)
    image_of_N = np.array([-1 if r.image is None else number[digests[r.image]] for r in records], dtype=np.intp)
    whole = hashlib.sha256(path.read_bytes() if path.is_file() else b"")
    whole.update("".join(number).encode())
    return Pairs(path, records, splits, images, image_of_N, whole.hexdigest())


def check_images(pairs: Pairs, side_px: int, advance: Callable[[int], None]) -> None:
    """Decode every image once.

    Raises:
        ManifestError: naming each file that cannot be decoded, and its first row.
    """
    first_row = {image: record.row for record in reversed(pairs.records) if (image := record.image) is not None}

    def fault(image: Path) -> str | None:
        try:
            decode_image(image.read_bytes(), side_px=side_px)
        except InputError as error:
            return f"{pairs.path.name}:{first_row[image]}: {image.name}: {error.detail}"
        finally:
            advance(1)
        return None

    with ThreadPoolExecutor() as pool:
        faults = [line for line in pool.map(fault, pairs.images) if line is not None]
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
    return [
        [preprocessors.prepare(Sample(text=text)).arrays["text"]["ids"].astype(np.int64) for text in record.texts]
        for record in pairs.records
    ]
