"""Work that may find no memory, and the one error that says so for every engine.

Knows how numpy, ONNX Runtime and torch complain; knows nothing of batches."""

from collections.abc import Callable
from typing import TypeVar

from models.errors import EngineMemoryError

Result = TypeVar("Result")

COMPLAINTS = (
    "failed to allocate memory",  # ONNX Runtime's arena
    "bad_alloc",  # C++ on Linux and macOS
    "bad allocation",  # C++ on Windows
    "can't allocate memory",  # torch on a CPU
    "out of memory",  # CUDA, pinned memory too
    "alloc_failed",  # cuBLAS and cuDNN, which take workspaces of their own
)
"""Parts of messages, in lower case. Only torch's own allocator on a card has a class of exceptions for it."""


def within_memory(
    work: Callable[[], Result],
    *,
    also: type[Exception] = MemoryError,
    release: Callable[[], None] = lambda: None,
) -> Result:
    """Do `work`, and if there is no memory for it give back what it took.

    Args:
        work: all that may allocate; what the caller's own frame holds is not given back.
        also: one more class of exceptions that says so.
        release: called after a failure, once nothing of the work is held any more.

    Raises:
        EngineMemoryError: there was no memory for it.
    """
    try:
        return work()
    except Exception as error:
        if not isinstance(error, MemoryError | also) and not _complains(error):
            raise
        reason = str(error) or type(error).__name__
    # Outside of the handler, and without the cause: a traceback holds every array of the work's frames.
    release()
    raise EngineMemoryError(f"no memory for a forward pass ({reason}). Fewer items at once may fit.")


def _complains(error: Exception) -> bool:
    message = str(error).lower()
    return any(complaint in message for complaint in COMPLAINTS)
