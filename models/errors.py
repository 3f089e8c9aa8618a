"""The mistakes a caller can make, each named after the stage of the data flow that it breaks."""


class IntermodalError(Exception):
    """Base of all errors whose message is written for the person who caused them."""


class InputError(IntermodalError):
    """A request, or a cell of a manifest, cannot be used.

    Args:
        field: the input field at fault, e.g. `image`.
        detail: what was wrong, and the remedy, in one or two sentences.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class UnsupportedMediaError(InputError):
    """The bytes are of a format that is not accepted."""


class TooLargeError(InputError):
    """The input exceeds a limit on bytes, pixels or items."""


class ConfigError(IntermodalError):
    """A recipe, a checkpoint's config or a setting is not valid."""


class ManifestError(IntermodalError):
    """A manifest has faults. All of them are listed, each with its file and row."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        shown = faults[:20]
        more = [f"… and {len(faults) - len(shown)} more"] if len(faults) > len(shown) else []
        super().__init__("\n".join([f"{len(faults)} fault(s) in the manifest:", *shown, *more]))


class CheckpointError(IntermodalError):
    """A checkpoint is incomplete, altered, or of a format that this version cannot read."""


class EngineError(IntermodalError):
    """The engine that was asked for cannot run here."""


class EngineMemoryError(IntermodalError, MemoryError):
    """There was no memory for a forward pass. What it held is free again: fewer items may fit."""
