"""Which checkpoints are served, in which order."""

import sys
from pathlib import Path

import pytest

from app.choice import choose_model, choose_models
from app.loading import load_service
from app.refusals import ConflictError
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


@pytest.mark.parametrize(
    ("served", "wanted", "chosen"),
    [
        ("", None, ("fashion", 1)),
        ("digits@2,fashion", None, ("digits", 2)),
        ("digits@2,fashion", "digits", ("digits", 2)),  # not the newest: what the settings serve
        ("digits@2,fashion", "digits@1", ("digits", 1)),
        ("digits@2", "animals", ("animals", 3)),
    ],
)
def test_one_model_is_the_version_that_is_served(
    folder: Path, served: str, wanted: str | None, chosen: tuple[str, int]
) -> None:
    assert choose_model(Settings(checkpoints=folder, models=served), wanted) == chosen


@pytest.mark.parametrize("wanted", ["fashion@2", "notes", "none"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(folder: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match="fashion@1"):
        choose_models(Settings(checkpoints=folder, models=wanted))


SHIPPED = Path(__file__).parents[2] / "checkpoints"


def test_galleries_that_another_process_has_are_served_as_they_are_shipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(checkpoints=SHIPPED, models="fashion", galleries="live", data=tmp_path)
    first = load_service(settings)
    assert first.galleries.get().writable() is first.models[0].gallery
    second = load_service(settings)
    assert "in use by process" in caplog.text
    with pytest.raises(ConflictError, match="only be read"):
        second.galleries.get().writable()
    first.galleries.close_store()
    third = load_service(settings)
    assert third.galleries.get().writable() is third.models[0].gallery
    third.galleries.close_store()


def test_a_folder_that_cannot_be_written_stops_the_start_only_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="INTERMODAL_GALLERIES=seed"):
        load_service(
            Settings(checkpoints=SHIPPED, models="fashion", galleries="live", data=tmp_path / "file/data")
        )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("not a folder")
    service = load_service(Settings(checkpoints=SHIPPED, models="fashion", galleries="live"))
    assert "only read here" in caplog.text
    assert len(service.galleries.models()) == 1


def test_a_database_without_its_driver_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retrieval.postgres.store", None)
    settings = Settings(
        checkpoints=SHIPPED, models="fashion", galleries="live", database_url="postgresql://me:secret@host/x"
    )
    assert "secret" not in repr(settings)
    with pytest.raises(ConfigError, match=r"\.\[postgres\]"):
        load_service(settings)
