"""Write README's tables from the code: `python -m docs.generate`; `--check` only tells if they are current.

A table stands between `<!-- generated:NAME -->` and `<!-- /generated -->`.
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from app import file_url, remote
from app.main import create_app
from app.routes.items import MAX_PAGE_ITEMS
from app.settings import PREFIX, Settings, flag
from models import image_guards
from retrieval.filter_parsing import MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES

README = Path(__file__).resolve().parents[1] / "README.md"
METHODS = ("get", "post", "put", "delete")


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` return 1 where they are not what the code says."""
    current = README.read_text(encoding="utf-8")
    wanted = fill(current)
    if arguments == ["--check"]:
        if current != wanted:
            sys.stderr.write("README.md's tables are not current. Run: make docs\n")
        return int(current != wanted)
    README.write_text(wanted, encoding="utf-8")
    return 0


def fill(text: str) -> str:
    """`text` with each generated part replaced by what the code says now."""
    makers: dict[str, Callable[[], str]] = {
        "api": api_table,
        "limits": limits_table,
        "settings": settings_table,
    }

    def part(match: re.Match[str]) -> str:
        return f"<!-- generated:{match[1]} -->\n{makers[match[1]]()}\n<!-- /generated -->"

    return re.sub(r"<!-- generated:(\w+) -->\n.*?<!-- /generated -->", part, text, flags=re.DOTALL)


def api_table() -> str:
    """List every route of the OpenAPI document, in its order; routes that do the same share a row."""
    document: dict[str, Any] = create_app(Settings()).openapi()
    routes: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                routes.setdefault(first_sentence(operations[method]), []).append(f"`{method.upper()} {path}`")
    return table(("route", "what"), (("<br>".join(same), what) for what, same in routes.items()))


def first_sentence(operation: dict[str, Any]) -> str:
    """Return what a route's docstring opens with, else its summary."""
    text = " ".join(operation.get("description", operation.get("summary", "")).split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].rstrip(".")


def limits_table() -> str:
    """List the limits that no setting changes, each by the answer to what exceeds it."""
    megapixels = image_guards.MAX_RLE_PIXELS / 1e6
    rows = [
        (f"{MAX_CONDITIONS} conditions in a filter, {MAX_DEPTH} levels, {MAX_VALUES:,} values in a list", 422),
        (f"{file_url.MAX_URL_CHARACTERS:,} characters and {remote.MAX_REDIRECTS} redirects of a file by URL",
         422),
        (f"{MAX_PAGE_ITEMS:,} items in a page of a gallery", 422),
        (f"{image_guards.MAX_SIDE_PX:,} pixels in a side of an image", 413),
        (f"{image_guards.MAX_JPEG_SCANS} scans and {image_guards.MAX_JPEG_SEGMENTS:,} segments of a JPEG; "
         f"{image_guards.MAX_TIFF_TAGS:,} tags and {image_guards.MAX_TIFF_STRIPS:,} strips of a TIFF; "
         f"{megapixels:g} megapixels of a run-length encoded BMP; {image_guards.MAX_READS:,} pieces of any image",
         413),
    ]  # fmt: skip
    return table(("no more than", "answer"), ((what, str(status)) for what, status in rows))


def settings_table() -> str:
    """List every setting: its variable, its flag, its default and what it means."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        rows.append((f"`{PREFIX}{name.upper()}`", f"`{flag(name)}`", default, plain(field.description or "")))
    return table(("variable", "flag", "default", "what"), rows)


def plain(text: str) -> str:
    """Keep `<name>` from being read as HTML."""
    return text.replace("<", "&lt;")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Build a Markdown table."""
    heads = list(head)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
