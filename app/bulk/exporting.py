"""A gallery as files for other tools: a line of JSON for each item, and its files beside it."""

import json
from collections.abc import Callable
from pathlib import Path

from models.decode import media_type_of
from models.decode_audio import audio_type_of
from retrieval.gallery import Gallery

ITEMS = "items.jsonl"
_PAGE_ITEMS = 500


def export_gallery(gallery: Gallery, folder: Path, progress: Callable[[int], object]) -> int:
    """Write `items.jsonl` (id, text, labels, metadata, inputs), and the files. Returns the number of items.

    The labels of an item are columns of their own too, so that the file is a manifest as well. `progress` is told
    how many are written.

    Raises:
        FileExistsError: there already is one in the folder.
    """
    images, recordings = folder / "images", folder / "recordings"
    for kept in (images, recordings):
        kept.mkdir(parents=True, exist_ok=True)
    count = 0
    after: str | None = None
    with (folder / ITEMS).open("x", encoding="utf-8") as lines:
        while page := gallery.page(limit=_PAGE_ITEMS, after=after):
            for item in page:
                line = {"id": item.id, "text": item.text, **item.labels, **item.metadata}
                for column, kept, data, type_of in (
                    ("image", images, gallery.image(item.id), media_type_of),
                    ("audio", recordings, gallery.audio(item.id), audio_type_of),
                ):
                    if data is not None:
                        path = kept / f"{count}.{type_of(data).rpartition('/')[2]}"
                        path.write_bytes(data)
                        line[column] = path.relative_to(folder).as_posix()
                if (sensors := gallery.sensors(item.id)) is not None:
                    line["sensors"] = json.loads(sensors)
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
            after = page[-1].id
            progress(count)
    return count
