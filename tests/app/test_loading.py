"""Which checkpoints are served, in which order."""

from pathlib import Path

import pytest

from app.loading import choose_models
from app.settings import Settings
from models.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("digits/1", "digits/2", "digits/10", "fashion/1", "animals/3", "notes/draft"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "fashion" / "2").mkdir()  # not whole: no config.json
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", [("fashion", 1), ("animals", 3), ("digits", 10)]),
        ("digits", [("digits", 10)]),
        ("digits@2,fashion,digits", [("digits", 2), ("fashion", 1), ("digits", 10)]),
    ],
)
def test_the_first_named_is_the_default_and_the_newest_version_is_taken(
    folder: Path, wanted: str, chosen: list[tuple[str, int]]
) -> None:
    assert choose_models(Settings(checkpoints=folder, models=wanted)) == chosen


@pytest.mark.parametrize("wanted", ["fashion@2", "notes", "none"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(folder: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match="fashion@1"):
        choose_models(Settings(checkpoints=folder, models=wanted))
