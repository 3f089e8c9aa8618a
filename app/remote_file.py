"""A file that a caller has named by its URL. Fetches nothing."""

from app.file_url import FileUrl
from app.upload import Upload


class RemoteFile(Upload):
    """A file that is still elsewhere: empty until `Fetcher.fill` has fetched it."""

    def __init__(self, url: FileUrl, field: str, spool_bytes: int) -> None:
        """Prepare; `field` is its modality, named where it cannot be fetched."""
        super().__init__(spool_bytes)
        self.url = url
        self.field = field
