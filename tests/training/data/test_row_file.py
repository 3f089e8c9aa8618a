from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.row_file import RowFile

VALUES = np.arange(24, dtype=np.float16).reshape(6, 2, 2)


@pytest.fixture
def rows(tmp_path: Path) -> RowFile:
    file = RowFile.open(tmp_path / "rows", np.float16, (2, 2), keep=False)
    file.write(0, VALUES[:4])
    file.write(4, VALUES[4:])
    return file


@given(places=st.lists(st.integers(0, 5)))
def test_rows_come_in_the_order_asked_for_as_from_an_array(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    file = RowFile.open(tmp_path_factory.mktemp("rows") / "rows", np.float16, (2, 2), keep=False)
    file.write(0, VALUES)
    found = file.take(places)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, VALUES[places])


def test_spans_are_padded_with_zeros(rows: RowFile) -> None:
    found, lengths = rows.take_spans([(4, 6), (1, 2), (0, 3)])
    assert lengths.tolist() == [2, 1, 3]
    assert found.shape == (3, 3, 2, 2)
    np.testing.assert_array_equal(found[2], VALUES[:3])
    np.testing.assert_array_equal(found[0, :2], VALUES[4:6])
    assert not found[1, 1:].any()


def test_rows_may_be_written_in_any_order_and_another_kind(tmp_path: Path) -> None:
    file = RowFile.open(tmp_path / "rows", np.float32, (1,), keep=False)
    file.write(2, np.array([[3]]))
    file.write(0, np.array([[1], [2]]))
    assert file.take([0, 1, 2]).tolist() == [[1.0], [2.0], [3.0]]


def test_rows_that_are_kept_are_there_and_others_are_not(tmp_path: Path, rows: RowFile) -> None:
    rows.sync()
    kept = RowFile.open(tmp_path / "rows", np.float16, (2, 2), keep=True)
    np.testing.assert_array_equal(kept.take([5]), VALUES[5:])
    RowFile.open(tmp_path / "rows", np.float16, (2, 2), keep=False)
    assert (tmp_path / "rows").stat().st_size == 0


def test_rows_of_no_numbers_need_no_bytes(tmp_path: Path) -> None:
    file = RowFile.open(tmp_path / "rows", np.float32, (0,), keep=False)
    file.write(0, np.zeros((3, 0)))
    assert file.take([2, 1]).shape == (2, 0)


def test_a_file_that_was_cut_short_is_refused(rows: RowFile) -> None:
    with pytest.raises(OSError, match="Remove the cache"):
        rows.take([6])
