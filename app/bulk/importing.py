"""Rows of a manifest into a gallery: embedded in batches, written in transactions, again where it was interrupted.

What the gallery already has just so is left as it is, so that an import that is begun again goes on."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.bulk.parts import batched
from app.media import DecodeLimits
from app.writing import make_thumbnail
from models.batch import Example
from models.decode import decode_image
from models.decode_audio import decode_audio
from models.decode_sensors import encode_sensors
from models.errors import InputError
from models.manifest import Record
from models.predictor import Predictor
from models.sample import Sample
from retrieval.entries import check_item
from retrieval.gallery import Entry, WritableGallery
from retrieval.item import Item

STEP_ITEMS = 64  # read, embedded and written together
_FORWARD_ITEMS = 8  # embedded at once; more are no faster on a CPU


@dataclass
class Imported:
    """What became of the rows so far. `faults`: a line each, which names file and row."""

    num_written: int = 0
    num_kept: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def num_done(self) -> int:
        """Rows that were looked at."""
        return self.num_written + self.num_kept + len(self.faults)


@dataclass(frozen=True, slots=True)
class _Row:
    item: Item
    image: bytes | None
    audio: bytes | None
    sensors: bytes | None


def import_records(
    records: Sequence[Record],
    manifest: Path,
    predictor: Predictor,
    gallery: WritableGallery,
    limits: DecodeLimits,
    progress: Callable[[Imported], object],
) -> Imported:
    """Write every row that differs from what the gallery has.

    Args:
        records: of a manifest.
        manifest: its file, for the faults.
        predictor: that embeds; the gallery is seen through its embedding.
        gallery: to write.
        limits: of files.
        progress: called after each step.

    Raises:
        GalleryError: the gallery cannot be written; what was written before stays.
    """
    done = Imported()
    for step in batched(records, STEP_ITEMS):
        entries: list[Entry] = []
        for part in batched(_new_rows(step, manifest, gallery, limits, done), _FORWARD_ITEMS):
            entries += _embedded(part, manifest, predictor, limits, done)
        if entries:
            gallery.put(entries)
            done.num_written += len(entries)
        progress(done)
    return done


def _new_rows(
    records: Sequence[Record], manifest: Path, gallery: WritableGallery, limits: DecodeLimits, done: Imported
) -> Iterator[tuple[Record, _Row]]:
    for record in records:
        try:
            row = _read(record, limits)
        except (InputError, OSError, ValueError) as error:
            done.faults.append(_fault(manifest, record, error))
            continue
        kept = (read(record.id) for read in (gallery.get, gallery.image, gallery.audio, gallery.sensors))
        if tuple(kept) == (row.item, row.image, row.audio, row.sensors):
            done.num_kept += 1
        else:
            yield record, row


def _read(record: Record, limits: DecodeLimits) -> _Row:
    files: dict[str, bytes | None] = {"image": None, "audio": None}
    for name, most in (("image", limits.image.max_bytes), ("audio", limits.audio.max_bytes)):
        if (path := record.file(name)) is not None:
            if path.stat().st_size > most:
                raise InputError(name, f"more than {most:,} bytes, which is the limit.")
            files[name] = path.read_bytes()
    labels: dict[str, str | list[str]] = {**record.labels}
    labels |= {name: list(values) for name, values in record.label_sets.items()}
    item = Item(
        id=record.id,
        text=record.texts[0] if record.texts else None,
        labels=labels,
        metadata=json.loads(json.dumps({**record.metadata, **record.targets}, default=str)),
        has_image=files["image"] is not None,
        has_audio=files["audio"] is not None,
        has_sensors=record.sensors is not None,
    )
    check_item(item)
    sensors = None if record.sensors is None else encode_sensors(record.sensors)
    return _Row(item, files["image"], files["audio"], sensors)


def _embedded(
    rows: Sequence[tuple[Record, _Row]], manifest: Path, predictor: Predictor, limits: DecodeLimits, done: Imported
) -> list[Entry]:
    ready: list[tuple[_Row, Example, bytes | None]] = []
    for record, row in rows:
        try:
            example = predictor.prepare(_sample(row, record, predictor, limits))
            ready.append((row, example, None if row.image is None else make_thumbnail(row.image, limits.image)))
        except InputError as error:
            done.faults.append(_fault(manifest, record, error))
    if not ready:
        return []
    targets = predictor.embed_targets([example for _, example, _ in ready])
    entries = []
    for number, (row, _, thumbnail) in enumerate(ready):
        # A row of NaN says that an item lacks a modality.
        vectors = {name: found[number] for name, found in targets.items() if np.isfinite(found[number]).all()}
        entries.append(
            Entry(
                item=row.item,
                vectors=vectors,
                image=row.image,
                thumbnail=thumbnail,
                audio=row.audio,
                sensors=row.sensors,
            )
        )
    return entries


def _sample(row: _Row, record: Record, predictor: Predictor, limits: DecodeLimits) -> Sample:
    """What the model knows of the row.

    Raises:
        InputError: nothing, or a file that cannot be decoded.
    """
    preprocessing = predictor.config.preprocessing
    image = audio = None
    if row.image is not None and preprocessing.image is not None:
        image = decode_image(row.image, side_px=preprocessing.image.side_px, limits=limits.image)
    if row.audio is not None and preprocessing.audio is not None:
        audio = decode_audio(row.audio, rate_hz=preprocessing.audio.rate_hz, limits=limits.audio)
    text = row.item.text if "text" in predictor.modalities else None
    sensors = record.sensors if preprocessing.sensors is not None else None
    sample = Sample(image=image, text=text, audio=audio, sensors=sensors)
    if not sample.modalities:
        raise InputError("row", f"nothing that the model knows. It knows: {', '.join(predictor.modalities)}.")
    return sample


def _fault(manifest: Path, record: Record, error: Exception) -> str:
    what = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
    return f"{manifest.name}:{record.row}: {what}"
