"""Curves for TensorBoard. Knows names and numbers; the package is wanted only if somebody asks for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ConfigError

Scalars = Callable[[str, float, int], None]
"""Told a curve's name, its value, and the step within the stage."""


def no_scalars(name: str, value: float, step: int) -> None:
    """Nobody asked for curves."""


@contextmanager
def curves(folder: Path | None) -> Iterator[Scalars]:
    """Write scalars to `folder`; None writes nothing.

    Raises:
        ConfigError: if TensorBoard is not installed.
    """
    if folder is None:
        yield no_scalars
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard: the package is not installed. pip install tensorboard, or leave the option out."
        ) from None
    writer = SummaryWriter(str(folder))
    try:
        yield lambda name, value, step: writer.add_scalar(name, value, step)
    finally:
        writer.close()
