"""The rows of a CSV, JSON Lines or Parquet file, or of a folder of class folders, with their numbers.

Tells every row that is broken; knows nothing of what the columns mean."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import ManifestError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")

MAX_BROKEN_ROWS = 1_000
"""So many, and the file is no manifest: the rest is not read."""

Row = dict[str, Any]


def read_rows(path: Path) -> list[tuple[int, Row]]:
    """Read all rows of `path` as they stand: their numbers, and the cells by column.

    A number is the line that an editor shows (CSV, JSON Lines), or a place (Parquet, folders).

    Raises:
        ManifestError: no such file, no rows, or listing every row that is broken (MAX_BROKEN_ROWS at most).
    """
    if not path.exists():
        raise ManifestError([f"{path}: no such file. Give the manifest with --data, or in the recipe."])
    rows: list[tuple[int, Row]] = []
    faults: list[str] = []
    for number, row in _stream(path):
        if not isinstance(row, str):
            rows.append((number, row))
            continue
        faults.append(f"{path.name}:{number}: {row}")
        if len(faults) == MAX_BROKEN_ROWS:
            break
    if faults:
        raise ManifestError(faults)
    if not rows:
        raise ManifestError([f"{path}: no rows."])
    return rows


def _stream(path: Path) -> Iterator[tuple[int, Row | str]]:
    """Rows with their numbers; for a broken row, what is wrong with it."""
    if path.is_dir():
        yield from _class_folders(path)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(path)
    else:
        yield from _csv(path)


def _csv(path: Path) -> Iterator[tuple[int, Row | str]]:
    # Bytes that are not UTF-8 become lone surrogates, so that their row can be named, and the next be read.
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file, strict=True)
        begin = 1
        try:
            if not _is_utf_8("".join(reader.fieldnames or ())):
                yield 1, "the header is not UTF-8. Save the file as UTF-8 CSV."
                return
            for row in reader:
                if None in row:
                    yield reader.line_num, "more cells than columns. Quote the commas."
                elif not _is_utf_8("".join(filter(None, row.values()))):
                    yield reader.line_num, "not UTF-8. Save the file as UTF-8 CSV."
                else:
                    yield reader.line_num, dict(row)
                begin = reader.line_num + 1
        except csv.Error as error:
            # With a quote astray, what follows would be cut at the wrong places.
            yield begin, f"{error}. Mend the quotes of the row that begins here; the rest was not read."


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_lines(path: Path) -> Iterator[tuple[int, Row | str]]:
    with path.open("rb") as file:  # json.loads finds a byte order mark, and calls what is not UTF-8 a ValueError
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                json.dumps(row, ensure_ascii=False).encode()  # a lone surrogate is no text, and a ValueError
            except ValueError as error:
                yield number, f"not JSON: {error}."
            except RecursionError:
                yield number, "not JSON that can be read: too many brackets."
            else:
                yield number, row if isinstance(row, dict) else "not a JSON object. Write one object a line."


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ManifestError(
            [f"{path.name}: Parquet needs the package pyarrow. Run: pip install pyarrow."]
        ) from None
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        raise ManifestError([f"{path.name}: not Parquet: {error}."]) from None
    yield from enumerate(rows, start=1)


def _class_folders(path: Path) -> Iterator[tuple[int, Row]]:
    """ImageNet's layout: `<class>/<file>`, or `<split>/<class>/<file>`. Columns: image or audio, label, split."""
    kinds = dict.fromkeys(IMAGE_ENDINGS, "image") | dict.fromkeys(AUDIO_ENDINGS, "audio")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in kinds)
    for number, file in enumerate(files, start=1):
        parts = file.relative_to(path).parts
        row = {"label": parts[-2] if len(parts) > 1 else ""}
        row[kinds[file.suffix.lower()]] = str(Path(path.name, *parts))
        if len(parts) > 2:
            row["split"] = parts[0]
        yield number, row
