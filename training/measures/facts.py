"""What a manifest holds, counted: rows, duplicates, missing cells, rare labels."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.config import NetworkConfig
from models.manifest import SPLITS, Record
from training.data.pairs import Pairs

RARE_ROWS = 10
_LACKS: Mapping[str, Callable[[Record], bool]] = {
    "image": lambda record: record.image is None,
    "text": lambda record: not record.texts,
    "audio": lambda record: record.audio is None,
    "sensors": lambda record: record.sensors is None,
    "transcript": lambda record: record.transcript is None,
}


def describe(pairs: Pairs, network: NetworkConfig) -> dict[str, Any]:
    """Facts of a manifest, for a network's modalities and heads.

    repeated: rows that equal an earlier row in their image, or in a group column.
    missing: empty cells by modality or head, then by split; what is never empty is left out.
    labels, rare_labels: by head, how many the network knows, and how many of them have few training rows; the
        latter is left out where there are no training rows.
    """
    images = [int(image) for image in pairs.image_of_N if image >= 0]
    recordings = [int(recording) for recording in pairs.recording_of_N if recording >= 0]
    repeated = {"image": len(images) - len(set(images)), "audio": len(recordings) - len(set(recordings))}
    cells: dict[str, list[str]] = {}
    for record in pairs.records:
        for cell in record.groups:
            cells.setdefault(cell.split("=", 1)[0], []).append(cell)
    repeated |= {name: len(found) - len(set(found)) for name, found in cells.items()}
    train = [pairs.records[row] for row in pairs.rows("train")]
    return {
        "manifest": pairs.path.name,
        "hash": pairs.hash,
        "rows": len(pairs.records),
        "splits": pairs.sizes(),
        "images": len(set(images)),
        "recordings": len(set(recordings)),
        "repeated": {name: count for name, count in repeated.items() if count},
        "missing": _missing(pairs, network),
        "labels": {head: len(part.labels) for head, part in network.classes.items()},
        "rare_labels": {head: _rare(train, head, part.labels) for head, part in network.classes.items() if train},
    }


def _missing(pairs: Pairs, network: NetworkConfig) -> dict[str, dict[str, int]]:
    inputs = (*network.modalities, *(["transcript"] if network.transcript is not None else []))
    lacks = {name: _LACKS[name] for name in inputs if name in _LACKS}
    found: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        records = [pairs.records[row] for row in pairs.rows(split)]
        for name, test in lacks.items():
            found.setdefault(name, {})[split] = sum(map(test, records))
        for head in (*network.classes, *network.targets):
            found.setdefault(head, {})[split] = sum(not record.has(head) for record in records)
    return {name: counts for name, counts in found.items() if any(counts.values())}


def _rare(train: Sequence[Record], head: str, labels: Sequence[str]) -> int:
    counts = Counter(label for record in train for label in record.labels_of(head))
    return sum(counts[label] < RARE_ROWS for label in labels)
