"""The immutable gallery that a checkpoint ships, as plain files; written by training, read by the service.

items.jsonl           {"id", "text", "labels", "metadata"}, one object a line
vectors.safetensors   by target: `<target>` (n, E) float16, and `<target>.rows` (n,) int32, their lines
thumbnails.zip        stored `<row>.jpg`, for items that have an image
"""

import bisect
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from retrieval.errors import QueryError, SeedError
from retrieval.exact import SCORE_DECIMALS, ExactIndex, unit_query
from retrieval.filter import predicate
from retrieval.gallery import DEFAULT_TARGET, Entry, Floats, Match, Query
from retrieval.item import Item
from retrieval.selection import select

ITEMS = "items.jsonl"
VECTORS = "vectors.safetensors"
THUMBNAILS = "thumbnails.zip"
ROWS = ".rows"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # ZIP's first date: equal thumbnails give equal bytes, and so equal hashes


class SeedGallery:
    """A seed in memory, thumbnails included. Keeps `retrieval.gallery.Gallery`'s interface."""

    def __init__(
        self, items: Sequence[Item], vectors: Mapping[str, tuple[Floats, NDArray[np.intp]]], images: bytes
    ) -> None:
        """Take a seed's contents over.

        Args:
            items: in the order of their rows.
            vectors: target → (n, E) and the rows (n,) that they belong to.
            images: the ZIP archive of thumbnails.
        """
        self._items = list(items)
        self._row = {item.id: row for row, item in enumerate(items)}
        self._by_id = sorted(self._row)
        rank = np.empty(len(items), dtype=np.intp)
        rank[[self._row[item_id] for item_id in self._by_id]] = np.arange(len(items))
        self._indexes = {target: ExactIndex(matrix, rows, rank) for target, (matrix, rows) in vectors.items()}
        self._images = zipfile.ZipFile(io.BytesIO(images))

    @property
    def targets(self) -> tuple[str, ...]:
        """See `Gallery.targets`."""
        return tuple(sorted(self._indexes, key=lambda target: (target != DEFAULT_TARGET, target)))

    @property
    def dimensions(self) -> int:
        """See `Gallery.dimensions`."""
        return int(self._indexes[DEFAULT_TARGET].vectors_nE.shape[1])

    def __len__(self) -> int:
        return len(self._items)

    def search(self, query_E: Floats, query: Query = Query()) -> list[Match]:  # noqa: B008 - immutable
        """See `Gallery.search`."""
        index = self._index(query.target)
        unit_E = unit_query(query_E, self.dimensions)
        # Whatever is left out after ranking needs a longer ranking to choose from.
        wanted = query.top_k if query.group_by is None and query.after is None else len(self)
        rows, scores = index.search(unit_E, wanted, self._allowed(query))
        decimals = np.round(scores.astype(np.float64), SCORE_DECIMALS).tolist()
        ranked = (Match(self._items[row], score) for row, score in zip(rows, decimals, strict=True))
        return select(ranked, query)

    def _allowed(self, query: Query) -> NDArray[np.bool_] | None:
        if query.where is None and query.exclude is None:
            return None
        allowed_N = np.ones(len(self), dtype=bool)
        if query.where is not None:
            allowed_N = np.fromiter(map(predicate(query.where), self._items), dtype=bool, count=len(self))
        if query.exclude in self._row:
            allowed_N[self._row[query.exclude]] = False
        return allowed_N

    def get(self, item_id: str) -> Item | None:
        """See `Gallery.get`."""
        row = self._row.get(item_id)
        return None if row is None else self._items[row]

    def page(self, *, limit: int, after: str | None = None) -> Sequence[Item]:
        """See `Gallery.page`."""
        start = 0 if after is None else bisect.bisect_right(self._by_id, after)
        return [self._items[self._row[item_id]] for item_id in self._by_id[start : start + limit]]

    def vector(self, item_id: str, target: str = DEFAULT_TARGET) -> Floats | None:
        """See `Gallery.vector`."""
        index = self._index(target)
        found = np.flatnonzero(index.rows_n == self._row.get(item_id, -1))
        return index.vectors_nE[found[0]] if len(found) else None

    def image(self, item_id: str) -> bytes | None:
        """See `Gallery.image`; a seed keeps only thumbnails."""
        return self.thumbnail(item_id)

    def audio(self, item_id: str) -> bytes | None:  # noqa: ARG002 - the interface's
        """See `Gallery.audio`; a seed keeps none."""
        return None

    def sensors(self, item_id: str) -> bytes | None:  # noqa: ARG002 - the interface's
        """See `Gallery.sensors`; a seed keeps none."""
        return None

    def thumbnail(self, item_id: str) -> bytes | None:
        """See `Gallery.thumbnail`."""
        item = self.get(item_id)
        return self._images.read(f"{self._row[item_id]}.jpg") if item is not None and item.has_image else None

    def entries(self) -> Iterator[Entry]:
        """All items, in the order of their rows, with unit vectors and thumbnails: as a store takes them over."""
        places = {
            target: {int(row): place for place, row in enumerate(index.rows_n)}
            for target, index in self._indexes.items()
        }
        for row, item in enumerate(self._items):
            vectors = {
                target: self._indexes[target].vectors_nE[place_of[row]]
                for target, place_of in places.items()
                if row in place_of
            }
            yield Entry(item=item, vectors=vectors, thumbnail=self.thumbnail(item.id))

    def _index(self, target: str) -> ExactIndex:
        index = self._indexes.get(target)
        if index is None:
            raise QueryError("target", f"no vectors named {target[:60]!r}. There are: {', '.join(self.targets)}.")
        return index


def read_seed(folder: Path) -> SeedGallery:
    """Read a seed whole into memory.

    Raises:
        SeedError: a file is missing or broken, or the files do not belong together.
    """
    try:
        images = (folder / THUMBNAILS).read_bytes()
        with zipfile.ZipFile(io.BytesIO(images)) as archive:
            pictured = set(archive.namelist())
        lines = (folder / ITEMS).read_text(encoding="utf-8").split("\n")
        items = [_parse_item(line, f"{row}.jpg" in pictured) for row, line in enumerate(filter(None, lines))]
        tensors = load_safetensors((folder / VECTORS).read_bytes())
    except OSError as error:
        raise SeedError(f"{error.filename}: {error.strerror}. Restore the checkpoint.") from None
    except (ValueError, KeyError, TypeError, SafetensorError, zipfile.BadZipFile) as error:
        raise SeedError(f"{folder}: not a gallery seed: {error}. Restore the checkpoint.") from None
    return SeedGallery(items, _check_vectors(folder, tensors, len(items)), images)


def _parse_item(line: str, has_image: bool) -> Item:
    row: dict[str, Any] = json.loads(line)
    return Item(
        id=row["id"], text=row["text"], labels=row["labels"], metadata=row["metadata"], has_image=has_image
    )


def _check_vectors(
    folder: Path, tensors: Mapping[str, NDArray[Any]], num_items: int
) -> dict[str, tuple[Floats, NDArray[np.intp]]]:
    vectors = {}
    for target in (name for name in tensors if not name.endswith(ROWS)):
        rows = tensors.get(target + ROWS, np.empty(0)).astype(np.intp)
        matrix = tensors[target].astype(np.float32)
        if (
            matrix.ndim != 2
            or rows.shape != matrix.shape[:1]
            or (len(rows) and not 0 <= rows.min() <= rows.max() < num_items)
        ):
            raise SeedError(f"{folder}/{VECTORS}: {target!r} does not belong to {ITEMS}. Restore the checkpoint.")
        vectors[target] = (matrix, rows)
    if DEFAULT_TARGET not in vectors or len({matrix.shape[1] for matrix, _ in vectors.values()}) != 1:
        raise SeedError(f"{folder}/{VECTORS}: needs {DEFAULT_TARGET!r}, and one length of vectors. Restore it.")
    return vectors


def write_seed(
    folder: Path, items: Sequence[Item], vectors: Mapping[str, Floats], thumbnails: Mapping[str, bytes]
) -> None:
    """Write a seed into `folder`, which is made where it does not exist. Equal input gives equal bytes.

    Args:
        folder: the checkpoint's `gallery`.
        items: rows, in order; `has_image` is ignored, for thumbnails decide it.
        vectors: target → (N, E) float32, a row of NaN where an item lacks the vector; `fused` is required.
        thumbnails: id → JPEG file.

    Raises:
        ValueError: empty or equal ids, vectors of another number of rows, a thumbnail without an item.
    """
    ids = [item.id for item in items]
    if len(set(ids)) != len(ids) or "" in ids:
        raise ValueError("ids of gallery items must be unique and not empty")
    if DEFAULT_TARGET not in vectors or any(len(matrix) != len(ids) for matrix in vectors.values()):
        raise ValueError(f"vectors need {DEFAULT_TARGET!r}, and one row for each of the {len(ids)} items")
    if unknown := sorted(thumbnails.keys() - set(ids)):
        raise ValueError(f"thumbnail without an item: {unknown[0]!r}")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {"id": item.id, "text": item.text, "labels": dict(item.labels), "metadata": dict(item.metadata)}
        )
        for item in items
    ]
    (folder / ITEMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tensors: dict[str, NDArray[Any]] = {}
    for target, matrix in vectors.items():
        rows = np.flatnonzero(np.isfinite(matrix).all(axis=1))
        tensors[target] = np.ascontiguousarray(matrix[rows], dtype=np.float16)
        tensors[target + ROWS] = rows.astype(np.int32)
    (folder / VECTORS).write_bytes(save_safetensors(tensors))
    with zipfile.ZipFile(folder / THUMBNAILS, "w", zipfile.ZIP_STORED) as archive:
        for row, item_id in enumerate(ids):
            if item_id in thumbnails:
                archive.writestr(zipfile.ZipInfo(f"{row}.jpg", _LONG_AGO), thumbnails[item_id])
