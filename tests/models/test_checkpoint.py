import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.checkpoint import CONFIG, WEIGHTS, find_versions, read_checkpoint
from models.errors import CheckpointError
from models.predictor import load_predictor
from tests.tiny import tiny_checkpoint, write_checkpoint

FILES = ("encode.image.onnx", "encode.text.onnx", "fuse.onnx", "tokenizer.json", WEIGHTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny" / "1")


def refused(folder: Path, pin: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder, pin=pin)
    message = str(caught.value)
    assert str(folder) in message or f"{folder.name}/{CONFIG}" in message
    return message


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / CONFIG).read_text())
    change(values)
    (folder / CONFIG).write_text(json.dumps(values))


def test_a_checkpoint_is_read_as_it_was_written(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    assert set(checkpoint.config.files) == set(FILES)
    assert checkpoint.contents == tiny_checkpoint().contents
    assert checkpoint.config.version == 1
    assert checkpoint.sha256 == hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
    assert checkpoint.gallery_path is None


def test_the_version_is_the_folder_s_name(tmp_path: Path) -> None:
    assert read_checkpoint(write_checkpoint(tmp_path / "tiny" / "12")).config.version == 12


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1, 0.5])
def test_one_altered_byte_in_any_file_is_refused(folder: Path, name: str, place: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(place * len(data)) if 0 < place < 1 else int(place)] ^= 1
    (folder / name).write_bytes(data)
    message = refused(folder)
    assert f"{name} was altered or cut short" in message
    assert "Restore it." in message


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_refused(folder: Path, name: str) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size // 2)
    assert f"{name} was altered or cut short" in refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} cannot be read: No such file" in refused(folder)


def test_a_version_without_its_config_is_half_written(folder: Path) -> None:
    (folder / CONFIG).rename(folder / f"{CONFIG}.partial")
    message = refused(folder)
    assert "not whole" in message
    assert "Train it again" in message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none" / "1")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"name": "tiny"}', "\x00"])
def test_a_config_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    assert "is not a checkpoint's config" in refused(folder)


def test_another_format_is_refused_before_its_keys_are_looked_at(folder: Path) -> None:
    change_config(folder, lambda values: values.update(format=2, news={}))
    assert "format 2; this version of Intermodal reads 1" in refused(folder)


def test_an_unknown_key_is_refused_with_its_nearest(folder: Path) -> None:
    change_config(folder, lambda values: values.update(graps={}))
    assert "graps: unknown key; did you mean 'graphs'?" in refused(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "gallery/../../outside"])
def test_a_file_outside_of_the_folder_is_never_read(folder: Path, name: str) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    (folder.parent / "outside").write_bytes(b"secret")
    change_config(folder, lambda values: values["files"].update({name: digest}))
    assert "outside of the checkpoint" in refused(folder)


def test_a_network_or_preprocessing_that_was_altered_is_refused(folder: Path) -> None:
    change_config(folder, lambda values: values["preprocessing"]["image"].update(resize="crop"))
    assert "embedding_id does not match" in refused(folder)


def test_labels_that_were_altered_are_refused(folder: Path) -> None:
    change_config(folder, lambda values: values["network"]["classes"]["colour"].update(labels=["red", "blue"]))
    assert "embedding_id does not match" in refused(folder)


def test_a_pin_lets_only_its_own_checkpoint_through(folder: Path) -> None:
    pin = read_checkpoint(folder).sha256
    assert read_checkpoint(folder, pin=pin.upper()).sha256 == pin
    raw = bytearray((folder / CONFIG).read_bytes())
    for place in range(0, len(raw), 97):
        altered = raw.copy()
        altered[place] ^= 1
        (folder / CONFIG).write_bytes(altered)
        assert "INTERMODAL_CHECKPOINT_SHA256" in refused(folder, pin)


def test_weights_of_another_network_do_not_load(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    narrow = checkpoint.config.network.model_copy(update={"width": 8})
    config = checkpoint.config.model_copy(update={"network": narrow})
    with pytest.raises(CheckpointError, match="does not fit the network"):
        load_predictor(dataclasses.replace(checkpoint, config=config), engine="torch")


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_checkpoint_that_names_no_weights_is_refused_by_the_engine(engine: Any) -> None:
    whole = tiny_checkpoint()
    contents = {name: data for name, data in whole.contents.items() if name != WEIGHTS}
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_predictor(dataclasses.replace(whole, contents=contents), engine=engine)


def test_a_graph_that_is_missing_is_named() -> None:
    whole = tiny_checkpoint()
    graphs = {role: graph for role, graph in whole.config.graphs.items() if role != "fuse"}
    config = whole.config.model_copy(update={"graphs": graphs})
    with pytest.raises(CheckpointError, match="no graph 'fuse'"):
        load_predictor(dataclasses.replace(whole, config=config), engine="onnx")


def test_versions_are_found_by_name_in_the_order_of_numbers_and_only_whole_ones(tmp_path: Path) -> None:
    for name in (
        "b/10/config.json",
        "b/9/config.json",
        "a/1/config.json",
        "a/2/config.json.partial",
        "a/x/config.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert find_versions(tmp_path) == {"a": [1], "b": [9, 10]}
    assert find_versions(tmp_path / "none") == {}
