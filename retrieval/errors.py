"""What can go wrong with a gallery: a question that cannot be answered, or files that cannot be read."""


class RetrievalError(Exception):
    """Base of all errors whose message is written for the person who caused them."""


class QueryError(RetrievalError):
    """A search cannot be understood.

    Args:
        field: the field of the search at fault, e.g. `filter`.
        detail: what was wrong, and the remedy, in one or two sentences.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class SeedError(RetrievalError):
    """The files of a gallery's seed are missing, altered or do not belong together."""


class GalleryError(RetrievalError):
    """A gallery cannot be read or written now: no room, locked, damaged, or its database does not answer."""


class GalleryBusyError(GalleryError):
    """Another process has the gallery."""
