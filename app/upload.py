"""What a client uploads: in memory while it is small, in a temporary file beyond. Knows no media type."""

import logging
import tempfile
import weakref
from typing import Self

from models.errors import ConfigError

_LOG = logging.getLogger(__name__)


class NoRoomError(Exception):
    """The folder for temporary files takes no more."""

    def __init__(self) -> None:
        super().__init__("There is no room for this upload now. Send it again later, or to another replica.")


class Upload:
    """Bytes that wait for whoever needs them whole. Its file has no name, and is gone with it."""

    def __init__(self, spool_bytes: int) -> None:
        """Prepare, empty; beyond `spool_bytes` what is written goes to a file."""
        self._spool_bytes = spool_bytes
        self._file = tempfile.SpooledTemporaryFile(max_size=spool_bytes)  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)
        self._num_bytes = 0

    @classmethod
    def of(cls, data: bytes, spool_bytes: int = 1_000_000) -> Self:
        """An upload of `data`."""
        upload = cls(spool_bytes)
        upload.write(data)
        return upload

    def __len__(self) -> int:
        return self._num_bytes

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            NoRoomError: the file cannot be written.
        """
        self._num_bytes += len(data)
        try:
            if self._num_bytes > self._spool_bytes:
                self._file.rollover()  # before the write, which would first copy it into memory
            self._file.write(data)
        except OSError as error:
            _LOG.error("an upload could not be kept: %s", error.strerror)
            raise NoRoomError from None

    def read(self) -> bytes:
        """Everything, as often as wanted, but by one thread at a time."""
        self._file.seek(0)
        return self._file.read()


def check_folder() -> None:
    """Make sure that uploads can be kept.

    Raises:
        ConfigError: no folder for temporary files may be written to.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ConfigError(
            "No folder for temporary files may be written to, and uploads are kept in one. Set TMPDIR, or mount "
            "memory at /tmp (docker run --tmpfs /tmp)."
        ) from None
