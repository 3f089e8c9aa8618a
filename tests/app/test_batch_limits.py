"""A limit that falls at once and comes back slowly."""

from app.batch_limits import Shrunk


def test_a_hundred_good_batches_double_it_until_it_is_whole() -> None:
    shrunk = Shrunk(32)
    shrunk.went_well()
    assert shrunk.items == 32
    shrunk.to(16)
    shrunk.to(8)
    shrunk.to(20)  # a worker that was told late
    assert shrunk.items == 8
    for _ in range(99):
        shrunk.went_well()
    assert shrunk.items == 8
    shrunk.went_well()
    assert shrunk.items == 16
    for _ in range(100):
        shrunk.went_well()
    assert shrunk.items == 32


def test_one_item_is_always_tried() -> None:
    shrunk = Shrunk(4)
    shrunk.to(0)
    assert shrunk.items == 1
