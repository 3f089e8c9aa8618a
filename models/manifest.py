"""A manifest: rows of paired data, read and checked. A row is one pair; a missing cell is a missing modality.

Knows columns and files; decodes nothing."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.columns import Columns
from models.decode_sensors import SensorLimits, decode_sensors
from models.errors import InputError, ManifestError
from models.rows import Row, read_rows
from models.sample import Readings

MAX_NUMBER = 3.4e38  # float32's bound
SPLITS = ("train", "val", "test")
SENSOR_LIMITS = SensorLimits()
"""Of readings to learn from, the same as of those that are served."""

MODALITY_NOUNS = {"image": "image", "text": "text", "recording": "audio", "readings": "sensors"}
"""What people call the columns of modalities."""

SPLIT_ALIASES = {"dev": "val", "valid": "val", "validation": "val", "training": "train"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row. `labels`, `label_sets` and `targets` hold only the cells that have a value.

    label_sets: of each `multi_labels` column, the labels that hold, in the cell's order, each once.
    sensors: readings by channel. Not compared: arrays are not one thing.
    faults: of its cells, without the place.
    split: None until one is carved.
    """

    row: int
    id: str
    image: Path | None = None
    texts: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    audio: Path | None = None
    sensors: Readings | None = field(default=None, compare=False)
    transcript: str | None = None
    speaker: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    label_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    split: str | None = None
    groups: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def has(self, head: str) -> bool:
        """Whether the cell of a head has a value."""
        return head in self.labels or head in self.label_sets or head in self.targets

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of any modality."""
        return self.image is None and self.audio is None and self.sensors is None and not self.texts

    def file(self, modality: str) -> Path | None:
        """The file of a modality that comes in files: image or audio."""
        found: Path | None = getattr(self, modality)
        return found

    def labels_of(self, head: str) -> tuple[str, ...]:
        """The label, or the labels, that hold."""
        return (self.labels[head],) if head in self.labels else self.label_sets.get(head, ())


def read_manifest(path: Path, columns: Columns) -> list[Record]:
    """Read all rows of `path`, in order.

    Raises:
        ManifestError: listing every fault with its file and row: no such column, missing file, equal ids,
            unknown split, a target that is no finite number, readings that are none, a row with no modality.
    """
    records, faults = read_sound(path, columns)
    if faults:
        raise ManifestError(faults)
    return records


def read_sound(path: Path, columns: Columns) -> tuple[list[Record], list[str]]:
    """Read all rows of `path`, in order: those that have no fault, and the faults of the others.

    Raises:
        ManifestError: no such column, or rows that cannot be read.
    """
    return _records(path, _rows(path, columns), columns)


def read_records(path: Path, columns: Columns) -> list[Record]:
    """Read all rows of `path`, in order, as they stand: files may be missing, and a row may have no modality.

    Raises:
        ManifestError: no such column, or rows that cannot be read.
    """
    return [_record(path.parent, number, row, columns) for number, row in _rows(path, columns)]


def _rows(path: Path, columns: Columns) -> list[tuple[int, Row]]:
    rows = read_rows(path)
    known = set().union(*(row.keys() for _, row in rows))
    single = [
        name
        for name in (columns.id, columns.image, columns.audio, columns.transcript, columns.speaker, columns.split)
        if name is not None
    ]
    wanted = {
        *single,
        *columns.sensor_columns,
        *columns.text,
        *columns.caption,
        *columns.heads,
        *columns.group,
        *columns.metadata,
    }
    absent = sorted(wanted - known)
    if absent:
        there = ", ".join(sorted(map(str, known)))
        raise ManifestError([f"{path}: no column {name!r}. There are: {there}." for name in absent])
    return rows


def _records(path: Path, rows: list[tuple[int, Row]], columns: Columns) -> tuple[list[Record], list[str]]:
    faults: list[str] = []
    records: list[Record] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        where = f"{path.name}:{number}"
        record, num_faults = _record(path.parent, number, row, columns), len(faults)
        if record.is_empty and not record.faults:
            nouns = [noun for noun, column in MODALITY_NOUNS.items() if getattr(columns, column)]
            faults.append(f"{where}: {_nothing(nouns)}, or remove the row.")
        faults += [f"{where}: {fault}" for fault in record.faults]
        faults += [
            f"{where}: no {noun} at {row[column]!r} (relative to the manifest)."
            for noun, column, path in (
                ("image", columns.image, record.image),
                ("recording", columns.audio, record.audio),
            )
            if column is not None and path is not None and not path.is_file()
        ]
        if record.split is not None and record.split not in SPLITS:
            faults.append(f"{where}: split {record.split!r} is none of {', '.join(SPLITS)}.")
        faults += [
            f"{where}: {name} {row[name]!r} is no finite number. Write it as 1234.5, or leave it empty."
            for name, value in record.targets.items()
            if math.isnan(value)
        ]
        if record.id in seen:
            faults.append(f"{where}: id {record.id!r} stands in row {seen[record.id]} too. Ids must be unique.")
        seen.setdefault(record.id, number)
        if len(faults) == num_faults:
            records.append(record)
    return records, faults


def _record(folder: Path, number: int, row: Mapping[str, Any], columns: Columns) -> Record:
    def cell(name: str | None) -> Any:
        value = None if name is None else row.get(name)
        if isinstance(value, float) and value != value:  # NaN: how Parquet writers spell a missing cell
            return None
        return None if value is None or str(value).strip() in columns.missing else value

    def file(name: str | None) -> Path | None:
        value = cell(name)
        return None if value is None else folder / str(value)

    split, identity = cell(columns.split), cell(columns.id)
    transcript, speaker = cell(columns.transcript), cell(columns.speaker)
    texts, captions = (
        tuple(str(part) for name in names for part in _as_list(cell(name)) if str(part).strip())
        for names in (columns.text, columns.caption)
    )
    cells = {name: value for name in columns.heads if (value := cell(name)) is not None}
    sensors, faults = _readings(cell, columns)
    return Record(
        row=number,
        id=str(number if identity is None else identity),
        image=file(columns.image),
        texts=texts,
        captions=captions,
        audio=file(columns.audio),
        sensors=sensors,
        transcript=None if transcript is None else str(transcript),
        speaker=None if speaker is None else str(speaker),
        labels={name: str(cells[name]) for name in columns.labels if name in cells},
        label_sets={
            name: _label_set(cells[name], columns.missing) for name in columns.multi_labels if name in cells
        },
        targets={name: _number(cells[name]) for name in columns.targets if name in cells},
        split=None if split is None else SPLIT_ALIASES.get(str(split).strip().lower(), str(split).strip().lower()),
        groups=tuple(f"{name}={cell(name)}" for name in columns.group if cell(name) is not None),
        metadata={name: cell(name) for name in columns.metadata if cell(name) is not None},
        faults=faults,
    )


def _nothing(nouns: Sequence[str]) -> str:
    if len(nouns) == 1:
        return f"no {nouns[0]}. Fill a cell"
    return f"neither {' nor '.join(nouns)}. Fill one of them"


def _readings(cell: Callable[[str | None], Any], columns: Columns) -> tuple[Readings | None, tuple[str, ...]]:
    """A row's readings by channel, and what is wrong with them."""
    if columns.sensors is None:
        return None, ()
    try:
        if isinstance(columns.sensors, str):
            value = cell(columns.sensors)
            found = json.loads(value) if isinstance(value, str) else value
        else:
            found = {name: _steps(column, cell(column), columns) for name, column in columns.sensors.items()}
        return (None, ()) if found is None else (decode_sensors(found, limits=SENSOR_LIMITS), ())
    except InputError as error:
        return None, (str(error),)
    except (ValueError, RecursionError):
        return None, ('sensors: not JSON. Write, say, {"speed": 12.5, "yaw_rate": [0.1, null]}.',)


def _steps(column: str, value: Any, columns: Columns) -> Any:
    """A channel's cell as JSON has it: of CSV, a number, or a list in brackets; gaps are None.

    Raises:
        InputError: neither of the two.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else float(value)
        except (ValueError, RecursionError):
            fault = f"{column!r} has {value[:40]!r}, neither a number nor a list. Write, say, 12.5 or [0.1, null]."
            raise InputError("sensors", fault) from None
    if isinstance(value, list):
        return [None if isinstance(step, str) and step.strip() in columns.missing else step for step in value]
    return value


def _label_set(value: Any, missing: Sequence[str]) -> tuple[str, ...]:
    """The labels of a cell: a list of JSON or Parquet, or text with `|` between them."""
    parts = value if isinstance(value, list) else str(value).split("|")
    labels = [str(part).strip() for part in parts if part is not None]
    return tuple(dict.fromkeys(label for label in labels if label and label not in missing))


def _number(value: Any) -> float:
    """The cell as a number that float32 can hold; NaN where it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return math.nan
    return number if abs(number) <= MAX_NUMBER else math.nan


def _as_list(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [part for part in values if part is not None]
