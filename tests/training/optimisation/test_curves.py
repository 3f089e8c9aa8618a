import sys
from pathlib import Path
from types import ModuleType

import pytest

from models.errors import ConfigError
from training.optimisation.curves import curves, no_scalars


class Writer:
    """What torch.utils.tensorboard.SummaryWriter is asked for, kept."""

    made: "list[Writer]"

    def __init__(self, folder: str) -> None:
        self.folder, self.told, self.closed = folder, [], False
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.told.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_scalars_go_to_the_folder_and_it_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Writer.made = []
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with curves(tmp_path) as scalars:
        scalars("joint/loss", 0.5, 3)
    (writer,) = Writer.made
    assert (writer.folder, writer.told, writer.closed) == (str(tmp_path), [("joint/loss", 0.5, 3)], True)


def test_without_a_folder_nothing_is_written() -> None:
    with curves(None) as scalars:
        assert scalars is no_scalars
        scalars("joint/loss", 0.5, 3)


def test_without_the_package_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # what an import then finds is no module
    with pytest.raises(ConfigError, match="pip install tensorboard"), curves(tmp_path):
        pass
