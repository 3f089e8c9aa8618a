"""Fonts for labels and texts in any script: the one that comes with matplotlib, then what is installed."""

from functools import cache
from pathlib import Path

from matplotlib import font_manager
from PIL import ImageFont

BUNDLED = "DejaVu Sans"
_WIDER = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Unifont",
)


@cache
def families() -> list[str]:
    """Names for matplotlib, the first that has a character first; only what is installed, so nothing warns."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return [BUNDLED, *(name for name in _WIDER if name in installed)]


def font_for(text: str, size_px: int) -> ImageFont.FreeTypeFont:
    """The first font that has every character of `text`; the bundled one where none has."""
    needed = {ord(character) for character in text if not character.isspace()}
    fitting = (name for name in families() if needed <= _characters(name))
    return _font(next(fitting, BUNDLED), size_px)


@cache
def _font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(name), size_px)


@cache
def _characters(name: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(_path(name)).get_charmap())


def _path(name: str) -> Path:
    return Path(font_manager.findfont(name))
