import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.nets.encoders.image import Lower
from models.nets.encoders.text import TextLower
from tests.tiny import picture
from training.augmentation import Augmentation
from training.data.augment import augment_maps, augment_pixels, drop_subwords, mix_maps

NOTHING = Augmentation(
    mirror=False,
    subword_dropout=0,
    map_crop=0,
    map_cutout=0,
    map_noise=0,
    map_mixup=0,
    pixel_crop=1,
    pixel_colour=0,
)


def changed(**values: float) -> Augmentation:
    return Augmentation.model_validate({**NOTHING.model_dump(), **values})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps(count: int = 3, height: int = 8, width: int = 8) -> Lower:
    cells = torch.arange(1.0, count * 2 * height * width + 1).view(count, 2, height, width)
    return Lower(cells, torch.arange(float(count * 2)).view(count, 2))


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(augment_maps(maps(), NOTHING, generator()).map_nCHW, maps().map_nCHW)
    mixed, _, share = mix_maps(maps(), NOTHING, generator())
    assert torch.equal(mixed.map_nCHW, maps().map_nCHW)
    assert share == 0


@given(st.integers(0, 99), st.integers(0, 20), st.integers(1, 9), st.integers(1, 9))
def test_a_window_is_a_part_of_the_map_at_most_so_much_smaller(
    seed: int, crop: int, height: int, width: int
) -> None:
    whole = maps(2, height, width).map_nCHW
    part = augment_maps(maps(2, height, width), changed(map_crop=crop, map_cutout=0.5), generator(seed)).map_nCHW
    assert max(1, height - crop) <= part.shape[2] <= height
    assert max(1, width - crop) <= part.shape[3] <= width
    kept = part[part != 0]
    assert torch.isin(kept, whole).all()


def test_a_cutout_blanks_one_square_in_every_channel() -> None:
    lower = augment_maps(maps(4, 10, 10), changed(map_cutout=1), generator())
    blank = lower.map_nCHW == 0
    assert blank.sum((1, 2, 3)).tolist() == [2 * 3 * 3] * 4  # 0.3 of 10 cells a side
    assert torch.equal(blank[:, 0], blank[:, 1])


def test_a_gain_is_one_number_for_each_map() -> None:
    gains = augment_maps(maps(), changed(map_noise=0.2), generator()).map_nCHW / maps().map_nCHW
    assert torch.allclose(gains, gains[:, :1, :1, :1].expand_as(gains))
    assert len({round(float(gain), 6) for gain in gains[:, 0, 0, 0]}) == 3


def test_the_cache_is_not_written_to() -> None:
    lower = maps()
    augment_maps(lower, changed(map_cutout=1, map_crop=2), generator())
    assert torch.equal(lower.map_nCHW, maps().map_nCHW)


def test_mixup_blends_each_image_with_its_partner_by_the_share_told() -> None:
    lower = maps(8)
    mixed, partner, share = mix_maps(lower, changed(map_mixup=1), generator(3))
    assert 0 < share < 1
    for own, blended in zip(lower, mixed, strict=True):
        assert torch.allclose(blended, (1 - share) * own + share * own[partner])
    assert sorted(partner.tolist()) == list(range(8))


def test_subwords_become_the_unknown_one_and_padding_stays() -> None:
    ids = torch.full((50, 40), 7)
    ids[:, 30:] = 0
    text = TextLower(ids, torch.full((50,), 30), torch.zeros(50, 0))
    dropped = drop_subwords(text, changed(subword_dropout=0.25), 1, generator()).states_nTW
    assert (dropped[:, 30:] == 0).all()
    assert set(dropped[:, :30].flatten().tolist()) == {1, 7}
    assert float((dropped[:, :30] == 1).float().mean()) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(drop_subwords(text, NOTHING, 1, generator()).states_nTW, ids)


def test_cached_states_that_are_dropped_become_zero() -> None:
    text = TextLower(torch.ones(50, 40, 3), torch.full((50,), 40), torch.zeros(50, 0))
    dropped = drop_subwords(text, changed(subword_dropout=0.25), 1, generator()).states_nTW
    assert set(dropped.sum(2).flatten().tolist()) == {0, 3}
    assert float((dropped[:, :, 0] == 0).float().mean()) == pytest.approx(0.25, abs=0.04)


def test_pixels_are_cropped_mirrored_and_coloured_each_by_itself() -> None:
    pixels = Lower(torch.from_numpy(np.stack([picture(0)] * 4)).permute(0, 3, 1, 2).float(), torch.zeros(4, 0))
    config = changed(pixel_crop=0.5, pixel_colour=0.3)
    changed_pixels = augment_pixels(pixels, config, generator(1)).map_nCHW
    assert changed_pixels.shape == pixels.map_nCHW.shape
    assert 0 <= changed_pixels.min() <= changed_pixels.max() <= 255
    assert all(not torch.equal(changed_pixels[0], other) for other in changed_pixels[1:])
    assert torch.equal(changed_pixels, augment_pixels(pixels, config, generator(1)).map_nCHW)
    assert torch.equal(augment_pixels(pixels, NOTHING, generator()).map_nCHW, pixels.map_nCHW)


def test_mirroring_turns_some_pixels_around_and_leaves_the_others() -> None:
    pixels = Lower(torch.from_numpy(np.stack([picture(0)] * 16)).permute(0, 3, 1, 2).float(), torch.zeros(16, 0))
    mirrored = augment_pixels(pixels, changed(mirror=True), generator()).map_nCHW
    turned = [torch.equal(image, pixels.map_nCHW[0].flip(2)) for image in mirrored]
    assert 0 < sum(turned) < 16
    assert all(
        torch.equal(image, pixels.map_nCHW[0]) for image, one in zip(mirrored, turned, strict=True) if not one
    )


def test_equal_generators_change_equally() -> None:
    config = changed(map_crop=3, map_cutout=0.5, map_noise=0.1)
    first, second = (augment_maps(maps(), config, generator(5)).map_nCHW for _ in range(2))
    assert torch.equal(first, second)


def test_some_images_are_what_a_broken_camera_sends() -> None:
    lower = Lower(torch.full((64, 3, 8, 8), 100.0), torch.zeros(64, 2))
    config = Augmentation(mirror=False, pixel_crop=1, pixel_colour=0, pixel_broken=0.5)
    changed = augment_pixels(lower, config, torch.Generator().manual_seed(0)).map_nCHW
    broken = (changed != 100).flatten(1).any(1)
    assert 16 < int(broken.sum()) < 48
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
    assert torch.equal(lower.map_nCHW, torch.full((64, 3, 8, 8), 100.0))
    plain = (changed == changed[:, :, :1, :1]).flatten(1).all(1)
    assert 0 < int((plain & broken).sum()) < int(broken.sum())
