from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.nets.encoders.image import ImageEncoder
from tests.tiny import SIDE_PX, picture, tiny_network
from training.data import image_cache as cache
from training.data.image_cache import LowerCache, open_lower_cache

NUM_IMAGES = 7
PICTURES = np.stack([picture(seed) for seed in range(NUM_IMAGES)])


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    encoder = tiny_network().encoders["image"]
    assert isinstance(encoder, ImageEncoder)
    return encoder


class Source:
    """Hands out pictures, remembers which, and fails when asked for the image `broken`."""

    def __init__(self, broken: int = -1) -> None:
        self.asked: list[int] = []
        self.broken = broken

    def __call__(self, images: Sequence[int]) -> np.ndarray:
        if self.broken in images:
            raise KeyboardInterrupt
        self.asked += images
        return PICTURES[list(images)]


def open_cache(
    folder: Path,
    encoder: ImageEncoder,
    source: Callable[[Sequence[int]], np.ndarray],
    key: str = "k",
    mirror: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> LowerCache:
    return open_lower_cache(
        folder, encoder, key=key, num_images=NUM_IMAGES, pixels_of=source, mirror=mirror, advance=advance
    )


def assert_equal(one: LowerCache, other: LowerCache) -> None:
    variants, images = (part.ravel() for part in np.indices((2, NUM_IMAGES)))
    for found, expected in zip(one.load(variants, images), other.load(variants, images), strict=True):
        assert torch.equal(found, expected)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BATCH", 2)


def test_the_cache_holds_what_the_encoder_gives_for_the_image_and_its_mirror_image(
    tmp_path: Path, encoder: ImageEncoder
) -> None:
    found = open_cache(tmp_path, encoder, Source())
    images = np.array([4, 0, 6])
    for variant, pixels in enumerate((PICTURES[images], PICTURES[images][:, :, ::-1].copy())):
        lower = found.load(np.full(3, variant), images)
        with torch.inference_mode():
            expected = encoder.lower(torch.from_numpy(pixels))
        torch.testing.assert_close(lower.map_nCHW, expected.map_nCHW, rtol=1e-3, atol=1e-3)  # stored as float16
        torch.testing.assert_close(lower.pooled_nF, expected.pooled_nF, rtol=0, atol=1e-4)


def test_without_mirroring_there_is_one_variant(tmp_path: Path, encoder: ImageEncoder) -> None:
    assert open_cache(tmp_path, encoder, Source(), mirror=False).num_variants == 1


def test_what_is_there_is_not_computed_again(tmp_path: Path, encoder: ImageEncoder) -> None:
    first, told = open_cache(tmp_path, encoder, Source()), []
    source = Source()
    second = open_cache(tmp_path, encoder, source, advance=told.append)
    assert source.asked == [0]  # to learn the shapes
    assert sum(told) == NUM_IMAGES
    assert_equal(first, second)


def test_computing_that_was_interrupted_goes_on_where_it_stopped(
    tmp_path: Path, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path / "a", encoder, Source(broken=5))
    source, told = Source(), []
    resumed = open_cache(tmp_path / "a", encoder, source, advance=told.append)
    assert len(source.asked) < 1 + NUM_IMAGES
    assert source.asked[-1] == NUM_IMAGES - 1
    assert sum(told) == NUM_IMAGES
    unbroken = open_cache(tmp_path / "b", encoder, Source())
    assert_equal(resumed, unbroken)


def test_other_images_or_other_weights_have_a_cache_of_their_own(tmp_path: Path, encoder: ImageEncoder) -> None:
    other = tiny_network(seed=1).encoders["image"]
    assert isinstance(other, ImageEncoder)
    open_cache(tmp_path, encoder, Source())
    open_cache(tmp_path, encoder, Source(), key="other images")
    open_cache(tmp_path, other, Source())
    assert len(list(tmp_path.iterdir())) == 3


def test_the_upper_half_may_change_without_a_new_cache(tmp_path: Path, encoder: ImageEncoder) -> None:
    open_cache(tmp_path, encoder, Source())
    trained = tiny_network().encoders["image"]
    assert isinstance(trained, ImageEncoder)
    with torch.no_grad():
        for parameter in trained.pretrained():
            parameter.add_(1.0)
    open_cache(tmp_path, trained, Source())
    assert len(list(tmp_path.iterdir())) == 1
    assert PICTURES.shape[1:] == (SIDE_PX, SIDE_PX, 3)
