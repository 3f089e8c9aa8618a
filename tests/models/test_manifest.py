import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.columns import Columns
from models.errors import ConfigError, ManifestError
from models.manifest import SPLITS, Record, read_manifest
from models.splits import carve_splits

TEXT_ONLY = Columns(text="name")


def write(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def write_lines(folder: Path, *rows: object) -> Path:
    return write(folder, "".join(f"{json.dumps(row)}\n" for row in rows), "pairs.jsonl")


def faults(path: Path, columns: Columns) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, columns)
    return caught.value.faults


def test_a_csv_row_becomes_a_record(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    path = write(tmp_path, "id,image,name,kind,split,shop\n7,images/a.png,red shoe,Shoes,Validation,Ulm\n")
    columns = Columns(
        id="id", image="image", text="name", labels="kind", split="split", group="name", metadata="shop"
    )
    assert read_manifest(path, columns) == [
        Record(
            row=2,
            id="7",
            image=tmp_path / "images" / "a.png",
            texts=("red shoe",),
            labels={"kind": "Shoes"},
            split="val",
            groups=("name=red shoe",),
            metadata={"shop": "Ulm"},
        )
    ]


def test_all_faults_are_told_at_once_each_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "id,image,name,split\n1,no.png,,train\n2,,,train\n1,,blue,holdout\n4,,fine,test\n")
    found = faults(path, Columns(id="id", image="image", text="name", split="split"))
    assert found == [
        "pairs.csv:2: no image at 'no.png' (relative to the manifest).",
        "pairs.csv:3: neither image nor text. Fill one of them, or remove the row.",
        "pairs.csv:4: split 'holdout' is none of train, val, test.",
        "pairs.csv:4: id '1' stands in row 2 too. Ids must be unique.",
    ]


def test_a_row_number_is_the_line_that_an_editor_shows(tmp_path: Path) -> None:
    path = write(tmp_path, 'name,kind\n"two\nlines",a\n,b\n')
    assert faults(path, TEXT_ONLY)[0].startswith("pairs.csv:4:")


def test_every_absent_column_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    found = faults(write(tmp_path, "name,kind\nred,a\n"), Columns(text="title", labels=("kind", "colour")))
    assert [line.split("column ")[1] for line in found] == [
        "'colour'. There are: kind, name.",
        "'title'. There are: kind, name.",
    ]


def test_the_message_shows_twenty_faults_and_counts_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, "name,kind\n" + ",a\n" * 25)
    with pytest.raises(ManifestError, match="25 fault") as caught:
        read_manifest(path, TEXT_ONLY)
    assert str(caught.value).endswith("… and 5 more")


def test_missing_cells_are_missing_and_na_is_a_value(tmp_path: Path) -> None:
    path = write(tmp_path, "name,kind,colour\nred,,NA\nblue, ,x\n")
    records = read_manifest(path, Columns(text="name", labels=("kind", "colour")))
    assert [record.labels for record in records] == [{"colour": "NA"}, {"colour": "x"}]


def test_the_recipe_may_say_that_na_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "name,kind\nred,NA\nblue,x\n")
    records = read_manifest(path, Columns(text="name", labels="kind", missing=("", "NA")))
    assert [record.labels for record in records] == [{}, {"kind": "x"}]


def test_a_short_csv_row_lacks_its_last_cells(tmp_path: Path) -> None:
    (record,) = read_manifest(write(tmp_path, "name,kind\nred\n"), Columns(text="name", labels="kind"))
    assert record.labels == {}


def test_a_long_csv_row_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path, "name,kind\nred,a\nred, white, blue\n")
    assert faults(path, TEXT_ONLY) == ["pairs.csv:3: more cells than columns. Quote the commas."]


def test_nan_and_null_are_missing_in_json(tmp_path: Path) -> None:
    path = write_lines(tmp_path, {"name": "red", "kind": math.nan}, {"name": "blue", "kind": None}, {"name": "x"})
    columns = Columns(text="name", labels="kind")
    path.write_text(path.read_text() + '{"name": "y", "kind": 3}\n')
    assert [record.labels for record in read_manifest(path, columns)] == [{}, {}, {}, {"kind": "3"}]


def test_a_list_in_a_cell_is_several_captions(tmp_path: Path) -> None:
    path = write_lines(tmp_path, {"name": ["red shoe", "", None, " ", "shoe, red"]}, {"name": "x"})
    assert read_manifest(path, TEXT_ONLY)[0].texts == ("red shoe", "shoe, red")


def test_several_text_columns_are_several_captions_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, "en,fr\ncat,chat\n,chien\n")
    records = read_manifest(path, Columns(text=("fr", "en")))
    assert [record.texts for record in records] == [("chat", "cat"), ("chien",)]


def test_without_an_id_column_the_row_is_the_id(tmp_path: Path) -> None:
    assert [r.id for r in read_manifest(write(tmp_path, "name\na\nb\n"), TEXT_ONLY)] == ["2", "3"]


@pytest.mark.parametrize(("name", "text"), [("p.csv", "name\nred\n"), ("p.jsonl", '{"name": "red"}\n')])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, "\ufeff" + text, name)
    assert read_manifest(path, TEXT_ONLY)[0].texts == ("red",)


@pytest.mark.parametrize(("name", "text"), [("p.csv", b"name\nr\xe9d\n"), ("p.jsonl", b'{"name": "r\xe9d"}\n')])
def test_a_file_that_is_not_utf_8_is_a_fault(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    assert faults(tmp_path / name, TEXT_ONLY)[0].startswith(name)


def test_every_broken_row_of_a_csv_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"name,kind\nred,a,b\nfine,x\nr\xe9d,a\nblue,a,\n")
    assert faults(path, TEXT_ONLY) == [
        "pairs.csv:2: more cells than columns. Quote the commas.",
        "pairs.csv:4: not UTF-8. Save the file as UTF-8 CSV.",
        "pairs.csv:5: more cells than columns. Quote the commas.",
    ]


def test_after_a_quote_astray_nothing_more_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 'name,kind\nred,a,b\n"blue,a\ngreen,a\n"white" x,a\nred,a,b,c\n')
    first, second = faults(path, TEXT_ONLY)
    assert first.startswith("pairs.csv:2: more cells")
    assert second.startswith("pairs.csv:3: ")
    assert "Mend the quotes of the row that begins here; the rest was not read." in second


def test_every_broken_line_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n{"name": "red"}\n[1]\n' + "[" * 100_000 + "\n", "pairs.jsonl")
    assert [line.split(":")[1] for line in faults(path, TEXT_ONLY)] == ["1", "3", "4"]


def test_what_is_no_manifest_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path, "x\n" * 3_000, "pairs.jsonl")
    assert len(faults(path, TEXT_ONLY)) == 1_000


@pytest.mark.parametrize(
    ("line", "fault"), [("{", "not JSON"), ("[1]", "not a JSON object"), (r'{"name": "\ud800"}', "not JSON")]
)
def test_a_line_that_is_no_object_is_a_fault(tmp_path: Path, line: str, fault: str) -> None:
    path = write(tmp_path, '{"name": "red"}\n\n' + line + "\n", "pairs.jsonl")
    assert faults(path, TEXT_ONLY)[0].startswith(f"pairs.jsonl:3: {fault}")


def test_no_file_and_no_rows_are_faults_with_a_remedy(tmp_path: Path) -> None:
    assert "--data" in faults(tmp_path / "none.csv", TEXT_ONLY)[0]
    assert "no rows" in faults(write(tmp_path, "name\n"), TEXT_ONLY)[0]


def test_class_folders_are_a_manifest(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("cat/1.JPG", "dog/2.png", "dog/readme.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    records = read_manifest(root, Columns(image="image", labels="label"))
    assert [(r.image, r.labels["label"]) for r in records] == [
        (root / "cat/1.JPG", "cat"),
        (root / "dog/2.png", "dog"),
    ]


def test_class_folders_may_stand_in_split_folders(tmp_path: Path) -> None:
    for name in ("train/cat/1.jpg", "valid/dog/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    records = read_manifest(tmp_path, Columns(image="image", labels="label", split="split"))
    assert [(r.labels["label"], r.split) for r in records] == [("cat", "train"), ("dog", "val")]


def test_parquet_is_read_with_lists_and_missing_cells(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"name": [["a", "b"], ["c"]], "kind": [None, "x"], "size": [math.nan, 2.0]})
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    records = read_manifest(tmp_path / "p.parquet", Columns(text="name", labels=("kind", "size")))
    assert [(r.texts, r.labels) for r in records] == [(("a", "b"), {}), (("c",), {"kind": "x", "size": "2.0"})]


def test_a_broken_parquet_file_is_a_fault(tmp_path: Path) -> None:
    assert "not Parquet" in faults(write(tmp_path, "PAR1", "p.parquet"), TEXT_ONLY)[0]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "pip install pyarrow" in faults(write(tmp_path, "PAR1", "p.parquet"), TEXT_ONLY)[0]


def test_columns_refuse_unknown_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'labels'"):
        Columns.parse({"label": ["kind"]}, "recipe")


# Splits


def record(row: int, *groups: str, split: str | None = None) -> Record:
    return Record(row=row, id=str(row), texts=("x",), groups=groups, split=split)


def carve(records: Sequence[Record], *, val: float = 0.3, test: float = 0.3, seed: int = 0) -> list[str]:
    return carve_splits(records, {}, seed=seed, val=val, test=test)


GROUPS = st.lists(st.sampled_from([f"a={n}" for n in range(9)] + [f"b={n}" for n in range(9)]), max_size=2)
RECORDS = st.lists(st.tuples(GROUPS, st.sampled_from([None, *SPLITS])), min_size=1, max_size=30).map(
    lambda rows: [record(row, *groups, split=split) for row, (groups, split) in enumerate(rows)]
)


@given(RECORDS)
def test_a_group_never_straddles_a_split(records: list[Record]) -> None:
    splits = carve(records)
    for one, own in zip(records, splits, strict=True):
        for other, its in zip(records, splits, strict=True):
            assert own == its or not set(one.groups) & set(other.groups)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 5))
def test_rows_keep_their_split_when_others_are_added(count: int, added: int, seed: int) -> None:
    records = [record(row, f"title={row // 2}") for row in range(count + added + 1)]
    few = [r for r in records[:count] if r.groups != records[count].groups]  # a whole number of groups
    assert carve(records, seed=seed)[: len(few)] == carve(few, seed=seed)


@given(RECORDS)
def test_the_order_of_the_rows_does_not_matter(records: list[Record]) -> None:
    assert carve(records[::-1])[::-1] == carve(records)


def test_splits_that_the_manifest_gives_are_kept() -> None:
    given_splits = ["train", "val", "test"] * 20
    assert carve([record(row, split=split) for row, split in enumerate(given_splits)]) == given_splits


def test_a_lacking_val_is_carved_from_train_alone() -> None:
    records = [record(row, split="test" if row < 20 else "train") for row in range(400)]
    splits = carve(records, val=0.25)
    assert splits[:20] == ["test"] * 20
    assert "test" not in splits[20:]
    assert 60 <= splits.count("val") <= 130  # 95 of 380 expected, standard deviation 8


def test_shares_are_as_asked() -> None:
    splits = carve([record(row) for row in range(1000)], val=0.1, test=0.2)
    assert 60 <= splits.count("val") <= 140
    assert 150 <= splits.count("test") <= 250


def test_a_group_that_the_manifest_tears_apart_goes_to_its_last_split() -> None:
    records = [record(1, "g=1", split="train"), record(2, "g=1", split="test"), record(3, split="val")]
    assert carve(records) == ["test", "test", "val"]


def test_equal_images_join_groups_that_have_nothing_else_in_common() -> None:
    records = [
        record(1, "title=a"),
        record(2, "title=b"),
        record(3, "title=b", split="test"),
        record(4, split="val"),
    ]
    assert carve_splits(records, {"1": "image=7", "2": "image=7"}, seed=0, val=0, test=0)[:3] == ["test"] * 3


def test_another_seed_carves_other_groups() -> None:
    records = [record(row) for row in range(50)]
    assert carve(records, seed=1) != carve(records, seed=2)


def test_numbers_are_targets_and_an_empty_cell_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, "name,price,size\na,1.5,-2e3\nb,, 7 \n")
    records = read_manifest(path, Columns(text="name", targets=("price", "size")))
    assert [record.targets for record in records] == [{"price": 1.5, "size": -2000}, {"size": 7}]


def test_numbers_of_json_lines_are_as_they_are_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    path = write_lines(tmp_path, {"name": "a", "price": 3}, {"name": "b", "price": math.nan}, {"name": "c"})
    records = read_manifest(path, Columns(text="name", targets="price"))
    assert [record.targets for record in records] == [{"price": 3}, {}, {}]


@pytest.mark.parametrize("cell", ["cheap", "1,5", "nan", "inf", "-Infinity", "1e39", "9" * 400])
def test_a_cell_that_is_no_finite_number_is_told_with_its_row(tmp_path: Path, cell: str) -> None:
    path = write_lines(tmp_path, {"name": "a", "price": 1}, {"name": "b", "price": cell})
    assert faults(path, Columns(text="name", targets="price")) == [
        f"pairs.jsonl:2: price {cell!r} is no finite number. Write it as 1234.5, or leave it empty."
    ]


@pytest.mark.parametrize("cell", [True, math.inf, [1], {"value": 1}])
def test_neither_is_what_json_has_beside_numbers(tmp_path: Path, cell: object) -> None:
    path = write_lines(tmp_path, {"name": "a", "price": cell})
    (fault,) = faults(path, Columns(text="name", targets="price"))
    assert "is no finite number" in fault


def test_several_labels_stand_between_bars(tmp_path: Path) -> None:
    path = write(tmp_path, "name,tags\na,new|sale\nb,old\nc,\nd,|\ne, a b | c;d ||new|new\n")
    records = read_manifest(path, Columns(text="name", multi_labels="tags"))
    assert [record.label_sets.get("tags") for record in records] == [
        ("new", "sale"),
        ("old",),
        None,  # nothing is known
        (),  # none holds
        ("a b", "c;d", "new"),
    ]
    assert [record.labels for record in records] == [{}] * 5


def test_several_labels_may_be_a_list(tmp_path: Path) -> None:
    rows = [{"name": "a", "tags": cell} for cell in (["new", " sale "], [], None, "new|sale", ["a|b", None, 7])]
    records = read_manifest(write_lines(tmp_path, *rows), Columns(text="name", multi_labels="tags"))
    assert [record.label_sets.get("tags") for record in records] == [
        ("new", "sale"),
        (),
        None,
        ("new", "sale"),
        ("a|b", "7"),
    ]


def test_a_column_is_one_head_at_most() -> None:
    with pytest.raises(ConfigError, match=r"size: stands twice in labels, multi_labels and targets; keep one"):
        Columns.parse({"labels": ["kind", "size"], "targets": "size"}, "x")
