"""What is left out of an image and a text."""

import numpy as np

from models.occlusion import Grid, Word, spans


def test_windows_of_three_by_three_cells_slide_by_one() -> None:
    assert len(Grid(7).windows) == 25
    assert Grid(4).windows == [(0, 0, 3, 3), (0, 1, 3, 4), (1, 0, 4, 3), (1, 1, 4, 4)]
    assert Grid(2).windows == [(0, 0, 2, 2)]


def test_a_window_gets_the_images_mean_colour_and_the_original_stays() -> None:
    pixels = np.zeros((12, 8, 3), np.uint8)
    pixels[:4] = (90, 30, 0)  # a third of the rows
    hidden = Grid(4).occlude(pixels, Grid(4).windows[0])
    assert (hidden[:9, :6] == (30, 10, 0)).all()
    assert (hidden[:4, 6:] == (90, 30, 0)).all()
    assert (hidden[9:] == 0).all()
    assert (pixels[:4] == (90, 30, 0)).all()


def test_a_cell_has_the_mean_of_the_windows_that_cover_it() -> None:
    spread = Grid(4).spread(np.array([1.0, 3.0, 5.0, 7.0]))
    assert spread.tolist() == [[1, 2, 2, 3], [3, 4, 4, 5], [3, 4, 4, 5], [5, 6, 6, 7]]


def test_words_beyond_the_limit_are_left_out_several_at_once() -> None:
    words = [Word(2 * place, 2 * place + 1, (place,)) for place in range(5)]
    assert spans(words, 5) == words
    assert spans(words, 2) == [Word(0, 3, (0, 1)), Word(4, 9, (2, 3, 4))]
