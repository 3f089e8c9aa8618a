"""Whether a column's cells lead to image files: as they stand, or with something before or after them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from models.decode import FORMATS
from models.rows import IMAGE_ENDINGS
from training.drafting.survey import Column, spread

LOOKED_AT = 200
"""Cells of a column whose files are looked for."""

USUAL_FOLDERS = ("images", "image", "img", "imgs", "photos", "pictures", "frames", "data", "train")
MAX_FOLDERS = 30
MAX_BYTES = 2_000_000_000  # of files that are read whole, some ten seconds


@dataclass(frozen=True, slots=True)
class Fit:
    """How cells become paths: `folder/` before them, an `ending` after them, perhaps only of their last part.

    share: of the cells looked at, those whose file exists. example: a cell, and how it should be written.
    """

    folder: str
    ending: str
    only_name: bool
    share: float
    example: tuple[str, str]

    @property
    def as_is(self) -> bool:
        """The cells are right as they stand."""
        return not (self.folder or self.ending or self.only_name)


def find_fit(root: Path, column: Column) -> Fit | None:
    """The first way in which at least half of the cells lead to image files below `root`, if there is one."""
    cells = spread([cell for cell in column.strings if _may_be_path(cell)], LOOKED_AT)
    if len(cells) * 2 < min(LOOKED_AT, len(column.strings)) or column.kind in ("list", "other"):
        return None
    for folder, ending, only_name in _ways(root):
        written = [_written(cell, folder, ending, only_name) for cell in cells]
        # A hundred ways times 200 cells: the first few tell most of them apart.
        if not any(exists(root, path) for path in written[:10]):
            continue
        there = [at for at, path in enumerate(written) if exists(root, path)]
        if len(there) * 2 >= len(cells) and _are_images([root / written[at] for at in there[:5]]):
            return Fit(folder, ending, only_name, len(there) / len(cells), (cells[there[0]], written[there[0]]))
    return None


def looks_like_image(column: Column) -> bool:
    """The cells end as image files do, though none may be there."""
    sample = column.sample
    hits = sum(cell.lower().split("?")[0].endswith(IMAGE_ENDINGS) for cell in sample)
    return bool(sample) and hits * 2 >= len(sample)


def image_sizes(root: Path, column: Column) -> list[tuple[int, int]]:
    """Width and height of up to LOOKED_AT images, from their headers."""
    there = (cell for cell in spread(column.strings, LOOKED_AT) if exists(root, cell))
    return [size for cell in there if (size := _size(root / cell)) is not None]


def file_keys(root: Path, column: Column) -> dict[str, str]:
    """What equal files share, by cell, as `training.data.pairs` finds it; by path where reading takes long."""
    there = [cell for cell in column.counts if exists(root, cell)]
    if sum((root / cell).stat().st_size for cell in there) > MAX_BYTES:
        return {cell: f"{column.name}={cell}" for cell in there}
    return {cell: f"{column.name}={hashlib.sha256((root / cell).read_bytes()).hexdigest()}" for cell in there}


def _ways(root: Path) -> Iterator[tuple[str, str, bool]]:
    below = [
        path.name for path in sorted(root.iterdir())[:1_000] if path.is_dir() and not path.name.startswith(".")
    ]
    folders = ["", *dict.fromkeys([name for name in USUAL_FOLDERS if name in below] + below[:MAX_FOLDERS])]
    for only_name in (False, True):
        for folder in folders:
            for ending in ("", *IMAGE_ENDINGS, ".JPG", ".PNG"):
                yield folder, ending, only_name


def _written(cell: str, folder: str, ending: str, only_name: bool) -> str:
    name = cell.strip().replace("\\", "/").rsplit("/", 1)[-1] if only_name else cell
    return f"{folder}/{name}{ending}" if folder else f"{name}{ending}"


def _may_be_path(cell: str) -> bool:
    return 0 < len(cell) <= 200 and "\0" not in cell and "://" not in cell and "\n" not in cell


def exists(root: Path, path: str) -> bool:
    """Whether a cell leads to a file below `root`, as it stands."""
    try:
        return _may_be_path(path) and (root / path).is_file()
    except OSError:  # a name that is longer than the file system allows
        return False


def _are_images(paths: Sequence[Path]) -> bool:
    return all(path.suffix.lower() in IMAGE_ENDINGS or _size(path) is not None for path in paths)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
