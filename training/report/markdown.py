"""Pieces of Markdown: sections that vanish when empty, tables, images. Knows nothing of models."""

from collections.abc import Collection, Sequence


def section(title: str, *parts: str) -> str:
    """A heading and its parts, or nothing where all parts are empty."""
    found = [part for part in parts if part]
    return "\n\n".join([title, *found]) if found else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; nothing where it has no rows."""
    if not rows:
        return ""
    lines = [_line(header), "|" + "---|" * len(header), *map(_line, rows)]
    return "\n".join(lines)


def image(caption: str, name: str, files: Collection[str]) -> str:
    """An image with its caption below, if it is one of the files."""
    return f"![{caption}]({name})\n\n*{caption}.*" if name in files else ""


def _line(cells: Sequence[str]) -> str:
    # A label column may have a bar in its name, and a name with a line break would end the table.
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
