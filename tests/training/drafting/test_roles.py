import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import ManifestError
from training.drafting import names
from training.drafting.guess import Guess
from training.drafting.roles import guess_roles
from training.drafting.survey import look_at

ROWS = 120
WORDS = ("red", "blue", "green", "shoe", "shirt", "hat", "old", "new", "large", "small", "cheap", "fine")


def sentence(number: int) -> str:
    return " ".join(random.Random(number).sample(WORDS, 5))


def guess(folder: Path, **cells: Callable[[int], Any]) -> Guess:
    """Roles of a manifest of ROWS rows in `folder`; a column's cells are made from the row's number."""
    rows = [(n, {name: make(n) for name, make in cells.items()}) for n in range(ROWS)]
    return guess_roles(folder / "pairs.csv", look_at(rows))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("articleType", ["article", "type"]),
        ("article_type", ["article", "type"]),
        ("ID", ["id"]),
        ("x2", ["x", "2"]),
    ],
)
def test_a_name_is_taken_apart(name: str, words: list[str]) -> None:
    assert names.tokens(name) == words


def test_user_ids_are_groups_and_an_article_s_type_is_not() -> None:
    found = ["user", "user_id", "userName", "videoid", "drive", "articleType", "product_name", "id", "paid"]
    assert [name for name in found if names.is_group(name)] == ["user", "user_id", "userName", "videoid", "drive"]


def test_three_sentiments_are_labels_as_words_and_as_numbers(tmp_path: Path) -> None:
    words = guess(tmp_path, text=sentence, sentiment=lambda n: ("good", "bad", "so so")[n % 3])
    assert words.roles["labels"] == {"sentiment": "3 different: good, bad, so so"}
    assert guess(tmp_path, text=sentence, target=lambda n: n % 3 - 1).names("labels") == ["target"]


def test_labels_need_rows(tmp_path: Path) -> None:
    found = guess(
        tmp_path,
        text=sentence,
        once=lambda n: f"only{n // 4}",
        constant=lambda _: "same",
        lopsided=lambda n: "rare" if n < 3 else "usual",
    )
    assert found.names("labels") == []
    assert "the same in every row" in found.left_out["constant"]


def test_numbers_are_targets_by_name_and_else_metadata(tmp_path: Path) -> None:
    found = guess(
        tmp_path, text=sentence, price=lambda n: f"{n / 7:.2f}", speed=lambda n: n % 15, year=lambda n: 1950 + n
    )
    assert found.names("targets") == ["price"]
    assert found.names("sensors") == ["speed"]
    assert found.names("metadata") == ["year"]


def test_the_id_is_unique_and_called_so(tmp_path: Path) -> None:
    found = guess(
        tmp_path, tweet_id=lambda n: 10**18 + n, name=sentence, id=lambda n: n // 2, label=lambda n: n % 2
    )
    assert found.names("id") == ["tweet_id"]


def test_a_split_is_told_by_its_values(tmp_path: Path) -> None:
    values = ("train", "Validation", "test")
    assert guess(tmp_path, text=sentence, part=lambda n: values[n % 3]).names("split") == ["part"]
    found = guess(tmp_path, text=sentence, split=lambda n: ("train", "eval")[n % 2], label=lambda n: n % 2)
    assert found.names("split") == []
    assert "may be train, val or test" in found.left_out["split"]


def test_the_words_that_are_read_come_in_order_of_their_names(tmp_path: Path) -> None:
    found = guess(
        tmp_path, description=sentence, title=lambda n: sentence(n + 500), user_bio=lambda n: sentence(n + 900)
    )
    assert found.names("text") == ["title", "description"]
    assert "user_bio" in found.left_out


def test_captions_in_several_languages_and_lists_are_texts(tmp_path: Path) -> None:
    found = guess(
        tmp_path,
        label_en=sentence,
        label_zh=lambda n: f"词{n}",
        captions=lambda n: [sentence(n), sentence(n + 200)],
    )
    assert set(found.names("text")) == {"captions", "label_en", "label_zh"}
    assert "several captions a row" in found.roles["text"]["captions"]


def test_who_wrote_it_keeps_rows_together_and_is_not_shown(tmp_path: Path) -> None:
    found = guess(
        tmp_path, text=sentence, user=lambda n: f"u{n % 20}", email=lambda n: f"{n}@x.org", city=lambda n: f"c{n}"
    )
    assert found.names("group") == ["user"]
    assert found.names("metadata") == ["city"]
    assert "about a person" in found.left_out["email"]


def test_urls_of_images_are_refused_with_a_remedy(tmp_path: Path) -> None:
    found = guess(tmp_path, text=sentence, image=lambda n: f"https://x.org/{n}", label=lambda n: n % 2)
    assert found.names("image") == []
    assert "images must be files. Download them" in found.warnings[0]


def test_images_that_lie_elsewhere_are_an_error_that_shows_the_right_path(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for n in range(ROWS):
        (tmp_path / "photos" / f"{n}.jpg").touch()
    with pytest.raises(ManifestError, match=r"column 'number' names images.*Write 'photos/0.jpg' for '0'"):
        guess(tmp_path, number=lambda n: n, text=sentence)
    with pytest.raises(ManifestError, match=r"few of them are there: 'no/x0.jpg'"):
        guess(tmp_path, photo=lambda n: f"no/x{n}.jpg", text=sentence)


def test_what_has_no_value_or_is_a_row_number_is_left_out(tmp_path: Path) -> None:
    found = guess(tmp_path, text=sentence, empty=lambda _: "", **{"Unnamed: 0": lambda n: n})
    assert set(found.left_out) == {"empty", "Unnamed: 0"}


def test_what_instruments_measure_is_an_input_where_something_is_told(tmp_path: Path) -> None:
    kind, speed = (lambda n: "ab"[n % 2]), (lambda n: n % 15 + 0.5)
    found = guess(tmp_path, text=sentence, label=kind, speed=speed, likes=lambda n: n * 7 + 0.5)
    assert found.names("sensors") == ["speed"]
    assert found.names("numbers") == ["likes"]
    untold = guess(tmp_path, text=sentence, speed=speed)
    assert (untold.names("sensors"), untold.names("numbers")) == ([], ["speed"])


def test_numbers_are_inputs_where_there_is_nothing_else_to_look_at(tmp_path: Path) -> None:
    found = guess(tmp_path, label=lambda n: "ab"[n % 2], f1=lambda n: n / 7, f2=lambda n: n * 1.5)
    assert found.names("sensors") == ["f1", "f2"]


def test_lists_of_numbers_and_objects_of_channels_are_windows(tmp_path: Path) -> None:
    kind, window = (lambda n: "ab"[n % 2]), (lambda n: [n, None, n / 2])
    lists = guess(tmp_path, text=sentence, label=kind, wheel=window, temp=lambda n: n / 7)
    assert lists.roles["sensors"]["wheel"] == "readings, at most 3 step(s) of each"
    assert lists.names("sensors") == ["wheel", "temp"]
    objects = guess(
        tmp_path, label=kind, state=lambda n: {"v": window(n), "turn": n / 2, "gap": None}, temp=lambda n: n / 7
    )
    assert objects.roles["sensors"] == {"state": "readings by channel, at most 3 step(s) of each"}
    assert objects.names("numbers") == ["temp"]
