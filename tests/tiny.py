"""Small real things: pictures, texts, a network with its checkpoint, and progress that a test can look at."""

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from models.checkpoint import Checkpoint, read_checkpoint
from models.config import NetworkConfig
from models.nets.fusion import GatedFusion
from models.nets.network import Network
from training import assemble
from training.data.tokenizer import train_tokenizer
from training.recipe import Recipe

SIDE_PX = 32
ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
TEXTS = ("a red circle", "a blue circle", "a red square", "a blue square", "a blue star", "one large red star")


def image_file(image: Image.Image | NDArray[np.generic], form: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def picture(seed: int, width: int = SIDE_PX, height: int = SIDE_PX) -> NDArray[np.uint8]:
    """A smooth random picture (height, width, 3), as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def tiny_recipe(**changes: Any) -> Recipe:
    """A recipe for the tiny network; `changes` replace top-level keys."""
    values: Mapping[str, Any] = {
        "name": "tiny",
        "pretrained": "none",
        "data": {"columns": {"image": "image", "text": "name", "labels": ["shape", "colour"]}},
        "preprocessing": {"image": {"side_px": SIDE_PX}, "text": {"max_tokens": 8}},
        "network": NetworkConfig.tiny(),
        "stages": {"joint": {"epochs": 1}},
    }
    return Recipe.model_validate({**values, **changes})


def write_pairs(folder: Path, count: int = 24) -> Path:
    """A manifest of `count` coloured shapes: two in three train, the others val and test."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,name,shape,colour,split"]
    for number in range(count):
        shape, colour = ("circle", "square", "star")[number % 3], ("blue", "red")[number // 3 % 2]
        image = picture(number)
        image[8:24, 8:24] = (0, 0, 255) if colour == "blue" else (255, 0, 0)
        (folder / f"{number}.png").write_bytes(image_file(image))
        split = ("train", "train", "train", "train", "val", "test")[number // 6 % 6 if count > 24 else number % 6]
        lines.append(f"{number}.png,a {colour} {shape} {number},{shape},{colour},{split}")
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def tiny_network(config: NetworkConfig | None = None, seed: int = 0) -> Network:
    """A network in evaluation mode whose gate is not the mean that it starts as."""
    torch.manual_seed(seed)
    network = Network(config or NetworkConfig.tiny()).eval()
    if isinstance(network.fusion, GatedFusion):
        torch.nn.init.normal_(network.fusion.gate.weight, std=0.5)
        network.fusion.trust_M.copy_(torch.linspace(0.0, 0.5, len(network.modalities)))
    return network


def tiny_tokenizer() -> Tokenizer:
    """Subwords of TEXTS, at most 64."""
    return train_tokenizer(TEXTS, 64)


@functools.cache
def tiny_checkpoint() -> Checkpoint:
    """The tiny network's checkpoint, in memory."""
    return assemble.in_memory_checkpoint(tiny_network(), tiny_tokenizer(), tiny_recipe(), {})


def write_checkpoint(folder: Path, checkpoint: Checkpoint | None = None) -> Path:
    """Write a version into `folder`, which it names, e.g. `…/tiny/1`."""
    checkpoint = checkpoint or tiny_checkpoint()
    assemble.write_files(folder, checkpoint.contents)
    assemble.seal(folder, checkpoint.config)
    read_checkpoint(folder)
    return folder


@dataclass
class Recorder:
    """A Progress that remembers, and may interrupt: `stop` is asked at each start of a piece of work."""

    stop: Callable[[str], bool] = lambda _name: False
    started: list[str] = field(default_factory=list)
    units: int = 0
    lines: list[str] = field(default_factory=list)

    def start(self, name: str, total: int) -> None:  # noqa: ARG002
        self.started.append(name)
        if self.stop(name):
            raise KeyboardInterrupt

    def advance(self, units: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.units += units

    def log(self, line: str) -> None:
        self.lines.append(line)
