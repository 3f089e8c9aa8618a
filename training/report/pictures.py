"""Sheets of examples from the data: what a query finds, and the surest errors. Knows pixels; decides no figure.

A sheet is a column of bands. A band is a heading, or a row of cells: an image or a text each, with lines below."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from models.checkpoint import CheckpointConfig
from models.decode import decode_image
from models.manifest import Record
from training.measures.outputs import SubsetOutput
from training.report.examples import TOP_K, Query, mistakes, retrieval_queries, written_texts
from training.report.fonts import font_for

CELL_PX = 152
IMAGE_PX = 132
GAP_PX = 10
FRAME_PX = 4
TEXT_PX = 12
LINE_PX = 16
MAX_LINES = 7  # of a text in a box: 7 x 16 px in 132 px
MAX_TITLE_LINES = 3  # of a text below an image
HEADING_PX = 15
MAX_FILE_BYTES = 300_000
QUALITIES = (88, 80, 70, 55, 40)
MAX_HEADS = 8
ERRORS_PER_HEAD = 6
WRITTEN_PER_BAND = 6
INK, FAINT, GREEN, RED = "#222222", "#777777", "#1a9641", "#c0392b"


@dataclass(frozen=True, slots=True)
class Cell:
    """An image, or where it is None a text in a box; lines of (text, colour) below; a frame's colour."""

    image: Path | None
    text: str = ""
    lines: Sequence[tuple[str, str]] = ()
    frame: str = ""


Band = str | list[Cell]


def retrieval_sheet(outputs: Mapping[str, SubsetOutput], records: Sequence[Record]) -> bytes:
    """JPEG: queries and their nearest items, text to image and image to text; b"" where there is no pair."""
    bands: list[Band] = []
    for (asked, found), queries in retrieval_queries(outputs, records).items():
        size = len(outputs["image+text"].rows)
        bands.append(f"{asked} to {found}: the query, and its {TOP_K} nearest of {size:,}")
        bands += [_query_band(query, asked, found, records) for query in queries]
    return _sheet(bands) if bands else b""


def error_sheet(outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig) -> bytes:
    """JPEG: the surest wrong predictions of each head, given all modalities; b"" without image or error."""
    subset, output = list(outputs.items())[-1]
    if "image" not in subset.split("+"):
        return b""
    bands: list[Band] = []
    found = mistakes(output, subset, records, config, num=ERRORS_PER_HEAD)
    for head, worst in list(found.items())[:MAX_HEADS]:
        bands.append(f"{head}, from {subset}")
        bands.append(
            [
                Cell(
                    image=records[mistake.row].image,
                    lines=(
                        (f"{mistake.score:.2f} {mistake.predicted}", RED),
                        (f"label {mistake.label}", GREEN),
                        (_text(records[mistake.row]), INK),
                    ),
                )
                for mistake in worst
            ]
        )
    return _sheet(bands) if bands else b""


def caption_sheet(outputs: Mapping[str, SubsetOutput], records: Sequence[Record]) -> bytes:
    """JPEG: the items that the best and the worst texts are about; b"" where there are none."""
    bands: list[Band] = []
    for name, texts in zip(
        ("best", "worst"), written_texts(outputs, records, num=2 * WRITTEN_PER_BAND), strict=True
    ):
        shown = [one for one in texts if records[one.row].image is not None]
        for start in range(0, len(shown), WRITTEN_PER_BAND):
            if not start:
                bands.append(f"the {name} by CIDEr")
            bands.append(
                [
                    Cell(
                        image=records[one.row].image,
                        lines=((f"{one.cider:.2f} {one.text}", INK), (one.theirs, FAINT)),
                    )
                    for one in shown[start : start + WRITTEN_PER_BAND]
                ]
            )
    return _sheet(bands) if bands else b""


def _query_band(query: Query, asked: str, found: str, records: Sequence[Record]) -> list[Cell]:
    def cell(row: int, modality: str, line: str, frame: str = "") -> Cell:
        image = records[row].image if modality == "image" else None
        return Cell(image, _text(records[row]), ((line, FAINT),), frame)

    note = f"right one: rank {query.rank}"
    return [
        cell(query.row, asked, note),
        *(cell(m.row, found, f"{m.score:.2f}", GREEN if m.right else "#dddddd") for m in query.matches),
    ]


def _text(record: Record) -> str:
    return record.texts[0] if record.texts else ""


def _sheet(bands: Sequence[Band]) -> bytes:
    """Draw the bands one below the other, as a JPEG of at most MAX_FILE_BYTES where its lowest quality allows."""
    width = GAP_PX + max(len(band) for band in bands if not isinstance(band, str)) * (CELL_PX + GAP_PX)
    heights = [_height(band) for band in bands]
    canvas = Image.new("RGB", (width, sum(heights) + GAP_PX), "white")
    draw = ImageDraw.Draw(canvas)
    top = GAP_PX
    for band, height in zip(bands, heights, strict=True):
        if isinstance(band, str):
            draw.text((GAP_PX, top + GAP_PX), band, INK, font_for(band, HEADING_PX))
        else:
            for column, cell in enumerate(band):
                _draw_cell(canvas, draw, cell, GAP_PX + column * (CELL_PX + GAP_PX), top)
        top += height
    return _jpeg(canvas)


def _height(band: Band) -> int:
    if isinstance(band, str):
        return HEADING_PX + 2 * GAP_PX
    return CELL_PX + max(len(_lines_below(cell)) for cell in band) * LINE_PX + GAP_PX


def _draw_cell(canvas: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, left: int, top: int) -> None:
    if cell.frame:
        box = (left, top, left + CELL_PX - 1, top + CELL_PX - 1)
        draw.rectangle(box, outline=cell.frame, width=FRAME_PX if cell.frame == GREEN else 1)
    inset = (CELL_PX - IMAGE_PX) // 2
    if cell.image is not None:
        pixels = decode_image(cell.image.read_bytes(), side_px=IMAGE_PX)
        small = ImageOps.contain(Image.fromarray(pixels), (IMAGE_PX, IMAGE_PX), Image.Resampling.LANCZOS)
        canvas.paste(small, (left + (CELL_PX - small.width) // 2, top + (CELL_PX - small.height) // 2))
    else:
        lines = wrap(cell.text, IMAGE_PX, MAX_LINES)
        middle = top + (CELL_PX - len(lines) * LINE_PX) // 2
        for number, line in enumerate(lines):
            draw.text((left + inset, middle + number * LINE_PX), line, INK, font_for(line, TEXT_PX))
    for number, (line, colour) in enumerate(_lines_below(cell)):
        place = (left + inset, top + CELL_PX + number * LINE_PX)
        draw.text(place, line, colour, font_for(line, TEXT_PX))


def _lines_below(cell: Cell) -> list[tuple[str, str]]:
    return [(line, colour) for text, colour in cell.lines for line in wrap(text, CELL_PX, MAX_TITLE_LINES)]


def wrap(text: str, width_px: int, max_lines: int) -> list[str]:
    """Break a text into lines that fit; what is beyond the last one becomes an ellipsis."""
    font = font_for(text, TEXT_PX)
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < max_lines:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= width_px:
            line = f"{line} {words.pop(0)}"
        if font.getlength(line) > width_px:  # a long word, or a script without spaces
            fits = max(1, sum(font.getlength(line[: end + 1]) <= width_px for end in range(len(line))))
            line, rest = line[:fits], line[fits:]
            words.insert(0, rest)
        lines.append(line)
    if words:
        while lines[-1] and font.getlength(f"{lines[-1]}…") > width_px:
            lines[-1] = lines[-1][:-1]
        lines[-1] = f"{lines[-1].rstrip()}…"
    return lines


def _jpeg(image: Image.Image) -> bytes:
    data = b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        data = buffer.getvalue()
        if len(data) <= MAX_FILE_BYTES:
            break
    return data
