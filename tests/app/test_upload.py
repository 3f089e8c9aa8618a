"""Uploads: where they are kept, and that nothing of them stays."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from app.errors import status_of
from app.upload import NoRoomError, Upload, check_folder
from models.errors import ConfigError


def open_files(folder: Path) -> list[str]:
    """What this process holds open in `folder`; the kernel calls a file without a name '<path> (deleted)'."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for link in links if (target := os.path.realpath(link)).startswith(str(folder))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_only_a_large_upload_becomes_a_file_which_has_no_name_and_goes_with_it(folder: Path) -> None:
    small, large = Upload(100), Upload(100)
    small.write(b"x" * 100)
    assert not open_files(folder)
    for _ in range(3):
        large.write(b"y" * 50)
    assert len(open_files(folder)) == 1
    assert not list(folder.iterdir())
    assert (len(small), small.read(), small.read()) == (100, b"x" * 100, b"x" * 100)
    assert (len(large), large.read(), large.read()) == (150, b"y" * 150, b"y" * 150)
    del large
    assert not open_files(folder)


def test_a_full_disk_is_a_503_that_names_no_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    upload = Upload(10)
    with pytest.raises(NoRoomError) as caught:
        upload.write(b"x" * 11)
    assert status_of(caught.value) == 503
    assert str(folder) not in str(caught.value)


def test_without_a_folder_for_files_the_service_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with pytest.raises(ConfigError, match="TMPDIR"):
        check_folder()
    monkeypatch.undo()
    check_folder()
