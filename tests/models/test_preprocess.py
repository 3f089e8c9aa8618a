import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch import Example
from models.config import ImagePreprocessing, Preprocessing, TextPreprocessing
from models.errors import InputError
from models.preprocess import Preprocessors
from models.preprocess.image import ImagePreprocessor
from models.preprocess.text import UNKNOWN, TextPreprocessor
from models.sample import Sample
from tests.tiny import picture, tiny_tokenizer

SIDE = 16
BLACK, WHITE = 0, 255


def prepare(image: np.ndarray, resize: str) -> np.ndarray:
    arrays = ImagePreprocessor(ImagePreprocessing(side_px=SIDE, resize=resize)).prepare(Sample(image=image))
    assert arrays is not None
    return arrays["pixels"]


def stripes(*greys: int) -> np.ndarray:
    """Squares of 16 x 16, side by side."""
    return np.repeat(
        np.concatenate([np.full((SIDE, SIDE, 1), grey, np.uint8) for grey in greys], axis=1), 3, axis=2
    )


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (40, 20), (20, 40), (1, 900), (900, 1), (17, 15)])
def test_every_shape_becomes_the_square(resize: str, shape: tuple[int, int]) -> None:
    pixels = prepare(picture(0, *shape), resize)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_an_image_of_the_right_size_is_untouched(resize: str) -> None:
    image = picture(0, SIDE, SIDE)
    np.testing.assert_array_equal(prepare(image, resize), image)


def test_squash_keeps_both_ends() -> None:
    pixels = prepare(stripes(BLACK, WHITE), "squash")
    assert (pixels[:, :6] == BLACK).all()
    assert (pixels[:, -6:] == WHITE).all()


def test_pad_puts_white_above_and_below_a_wide_image() -> None:
    pixels = prepare(stripes(BLACK, BLACK), "pad")  # 32 x 16 becomes 16 x 8, with 4 rows on each side
    assert (pixels[:4] == WHITE).all()
    assert (pixels[4:12] == BLACK).all()
    assert (pixels[12:] == WHITE).all()


def test_crop_takes_the_middle_square() -> None:
    assert (prepare(stripes(10, 20, 30), "crop") == 20).all()


def text_preprocessor(max_tokens: int = 8) -> TextPreprocessor:
    return TextPreprocessor(TextPreprocessing(max_tokens=max_tokens), tiny_tokenizer())


def ids_of(text: str, max_tokens: int = 8) -> list[int]:
    arrays = text_preprocessor(max_tokens).prepare(Sample(text=text))
    assert arrays is not None
    return arrays["ids"].tolist()


def test_case_width_and_space_do_not_matter() -> None:
    assert ids_of("  A RED\u3000\uff43\uff49\uff52\uff43\uff4c\uff45 ") == ids_of("a red circle")


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u200d", "\x00", "\ufeff"])
def test_a_text_that_is_normalised_to_nothing_is_one_unknown_token(text: str) -> None:
    assert ids_of(text) == [tiny_tokenizer().token_to_id(UNKNOWN)]


def test_a_long_text_is_cut_at_the_token_limit() -> None:
    assert ids_of("red blue star circle square", max_tokens=2) == ids_of("red blue star circle square")[:2]
    assert len(ids_of("red " * 50_000, max_tokens=8)) == 8


def test_a_lone_surrogate_reads_as_a_question_mark() -> None:
    assert ids_of("red \ud800") == ids_of("red ?")


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_any_text_gives_between_one_and_the_most_tokens(text: str) -> None:
    assert 1 <= len(ids_of(text)) <= 8


def test_an_absent_modality_is_prepared_to_nothing() -> None:
    assert text_preprocessor().prepare(Sample(image=picture(0))) is None
    assert ImagePreprocessor(ImagePreprocessing()).prepare(Sample(text="red")) is None


def test_texts_are_padded_with_zero_and_their_lengths_kept() -> None:
    arrays = text_preprocessor().collate([{"ids": np.array([5, 6, 7])}, {"ids": np.array([8])}])
    np.testing.assert_array_equal(arrays["ids"], [[5, 6, 7], [8, 0, 0]])
    np.testing.assert_array_equal(arrays["lengths"], [3, 1])
    assert arrays["ids"].dtype == arrays["lengths"].dtype == np.int64


@pytest.fixture
def both() -> Preprocessors:
    config = Preprocessing(image=ImagePreprocessing(side_px=SIDE), text=TextPreprocessing(max_tokens=8))
    return Preprocessors(config, tiny_tokenizer())


def test_collate_keeps_the_order_and_gives_absent_modalities_no_row(both: Preprocessors) -> None:
    first, second = picture(1, SIDE, SIDE), picture(2, SIDE, SIDE)
    samples = [Sample(text="red"), Sample(image=first), Sample(image=second, text="blue star")]
    batch = both.collate([both.prepare(sample) for sample in samples])
    assert len(batch) == 3
    assert batch.modalities == ("image", "text")
    np.testing.assert_array_equal(batch.present_BM, [[False, True], [True, False], [True, True]])
    np.testing.assert_array_equal(batch.inputs["image"]["pixels"], [first, second])
    np.testing.assert_array_equal(batch.rows("image"), [1, 2])
    np.testing.assert_array_equal(batch.rows("text"), [0, 2])
    assert batch.inputs["text"]["lengths"].tolist() == [len(ids_of("red")), len(ids_of("blue star"))]


def test_a_modality_that_nobody_has_is_not_in_the_batch(both: Preprocessors) -> None:
    batch = both.collate([both.prepare(Sample(text="red"))])
    assert set(batch.inputs) == {"text"}
    assert batch.present_BM.tolist() == [[False, True]]


def test_an_empty_batch_is_a_mistake_of_ours(both: Preprocessors) -> None:
    with pytest.raises(ValueError, match="at least one example"):
        both.collate([])


def test_a_sample_with_nothing_that_the_network_knows_is_refused() -> None:
    only_image = Preprocessors(Preprocessing(image=ImagePreprocessing(side_px=SIDE)))
    with pytest.raises(InputError, match="Send at least one of: image"):
        only_image.prepare(Sample(text="red"))


def test_text_needs_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="tokenizer"):
        Preprocessors(Preprocessing(text=TextPreprocessing()))


def test_names_of_modalities_come_in_batch_order(both: Preprocessors) -> None:
    assert both.modalities == ("image", "text")
    assert Sample(text="x", image=picture(0)).modalities == ("image", "text")
    assert Example({"text": {}}).modalities == ("text",)


@pytest.mark.parametrize(
    ("resize", "box"),
    # Of an image twice as wide as high: all of it; as much again above and below it; its middle half.
    [("squash", (0, 0, 1, 1)), ("pad", (0, -0.5, 1, 1.5)), ("crop", (0.25, 0, 0.75, 1))],
)
def test_the_box_says_what_of_an_image_is_seen(resize: str, box: tuple[float, ...]) -> None:
    assert ImagePreprocessor(ImagePreprocessing(side_px=SIDE, resize=resize)).box(20, 40) == box


def words(text: str, max_tokens: int = 32) -> list[str]:
    preprocessor = TextPreprocessor(TextPreprocessing(max_tokens=max_tokens), tiny_tokenizer())
    return [text[word.start : word.end] for word in preprocessor.words(text)]


def test_words_are_where_the_text_has_them_and_cover_every_token() -> None:
    assert words(" A  red, CIRCLE") == ["A", "red", ",", "CIRCLE"]
    assert words("\u0001") == []
    preprocessor = TextPreprocessor(TextPreprocessing(max_tokens=32), tiny_tokenizer())
    text = "one large, unheard-of star"
    arrays = preprocessor.prepare(Sample(text=text))
    assert arrays is not None
    places = [place for word in preprocessor.words(text) for place in word.places]
    assert places == list(range(len(arrays["ids"])))


def test_words_behind_the_token_limit_are_not_seen() -> None:
    assert words("red blue red blue", max_tokens=1) == ["red"]


@given(st.text(max_size=60))
def test_words_of_any_text_stand_in_order_and_hold_something(text: str) -> None:
    preprocessor = TextPreprocessor(TextPreprocessing(max_tokens=8), tiny_tokenizer())
    found = preprocessor.words(text)
    assert all(0 <= word.start < word.end <= len(text) for word in found)
    assert [word.start for word in found] == sorted(word.start for word in found)
