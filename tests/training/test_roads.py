"""Serving and training make the same arrays of the same file and the same text."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.fields import FieldReader, RawFields
from app.media import DecodeLimits
from app.payload import Inputs
from app.served import Model
from app.settings import Settings
from app.upload import Upload
from models.columns import Columns
from models.config import (
    AudioPreprocessing,
    ImagePreprocessing,
    Preprocessing,
    SensorPreprocessing,
    TextPreprocessing,
)
from models.manifest import Record, read_manifest
from models.predictor import Predictor
from models.preprocess import Preprocessors
from tests.tiny import SAMPLES, image_file, picture, tiny_checkpoint, tiny_tokenizer
from training.data.pairs import Pairs, load_pairs, prepare_pixels, prepare_texts
from training.data.readings import SensorRows, find_channels
from training.data.recordings import Recordings
from training.measures.prepared import prepare

FILES = sorted(SAMPLES.glob("images/*.png"))[::12]


def served(preprocessing: Preprocessing) -> Model:
    """The service's model, but for an engine."""
    config = tiny_checkpoint().config.model_copy(update={"preprocessing": preprocessing})
    return Model(Predictor(config, Preprocessors(preprocessing, tiny_tokenizer()), engine=None))  # type: ignore[arg-type]


def serve(model: Model, image: bytes | None = None, text: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    upload = None if image is None else Upload.of(image)
    sample = model.decode(Inputs(image=upload, text=text), DecodeLimits())
    return model.predictor.prepare(sample).arrays


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that is decoded at a fraction of its size."""
    path = tmp_path_factory.mktemp("large") / "photo.jpg"
    path.write_bytes(image_file(picture(0, 1500, 1100), "JPEG", quality=85))
    return path


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("side_px", [48, 64, 224])
def test_pixels_are_the_same_on_both_roads(resize: str, side_px: int, large: Path) -> None:
    preprocessing = Preprocessing(image=ImagePreprocessing(side_px=side_px, resize=resize))
    model = served(preprocessing)
    assert len(FILES) >= 15
    trained = prepare_pixels([*FILES, large], preprocessing)
    for path, pixels in zip([*FILES, large], trained, strict=True):
        np.testing.assert_array_equal(serve(model, image=path.read_bytes())["image"]["pixels"], pixels)


def test_features_of_recordings_are_the_same_on_both_roads() -> None:
    files = sorted(SAMPLES.glob("audio/*.wav"))
    assert len(files) > 10
    preprocessing = Preprocessing(audio=AudioPreprocessing(rate_hz=16_000, num_mels=32))
    model = served(preprocessing)
    records = [Record(row=row, id=str(row), audio=path) for row, path in enumerate(files)]
    numbers = np.arange(len(files))
    pairs = Pairs(Path("x"), records, ["train"] * len(files), [], 0 * numbers - 1, "", files, numbers)
    assert preprocessing.audio is not None
    trained = Recordings(pairs, preprocessing.audio).plain(numbers)
    for place, path in enumerate(files):
        sample = model.decode(Inputs(audio=Upload.of(path.read_bytes())), DecodeLimits())
        [arrays] = model.predictor.prepare(sample).arrays.values()
        length = int(trained.features.lengths_n[place])
        np.testing.assert_array_equal(arrays["features"], trained.features.features_nTF[place, :length].numpy())


def test_token_ids_are_the_same_on_both_roads() -> None:
    preprocessing = Preprocessing(text=TextPreprocessing(max_tokens=6))
    columns = Columns(text=("name_en", "name_fr"))
    pairs = load_pairs(SAMPLES / "emoji.csv", columns, seed=0, val=0.1, test=0.1)
    trained = prepare_texts(pairs, Preprocessors(preprocessing, tiny_tokenizer()))
    model = served(preprocessing)
    for record, captions in list(zip(pairs.records, trained, strict=True))[::7]:
        assert len(captions) == len(record.texts) == 2
        for text, ids in zip(record.texts, captions, strict=True):
            np.testing.assert_array_equal(serve(model, text=text)["text"]["ids"], ids)


def test_windows_of_readings_are_the_same_on_both_roads(tmp_path: Path) -> None:
    """Numbers, lists, gaps, a window that is too long, one that is too short, and readings far from all others."""
    cells: list[dict[str, object]] = [
        {"speed": 12.5, "yaw": [0.1, None, -0.2]},
        {"speed": [1, 2, 3, 4, 5, 6], "yaw": None},
        {"yaw": [1e30, 3]},
        {"speed": 1234567890.123},
    ]
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("".join(json.dumps({"s": cell, "split": "train"}) + "\n" for cell in cells))
    columns = Columns(sensors="s", split="split")
    pairs = load_pairs(manifest, columns, seed=0, val=0.0, test=0.0)
    config = find_channels(pairs, columns, SensorPreprocessing(steps=4))
    trained = SensorRows(pairs, config).plain(np.arange(len(cells)))
    model = served(Preprocessing(sensors=config))
    for place, cell in enumerate(cells):
        fields = RawFields({"sensors": json.dumps(cell)}, textual=True)
        reader = FieldReader(fields, ("sensors",), Settings(_env_file=None))
        sample = model.decode(Inputs(sensors=reader.readings("sensors")), DecodeLimits())
        arrays = model.predictor.prepare(sample).arrays["sensors"]
        np.testing.assert_array_equal(arrays["values"], trained.values_nTC[place].numpy())
        np.testing.assert_array_equal(arrays["known"], trained.known_nTC[place].numpy())
        evaluated = prepare(model.predictor, pairs.records[place]).arrays["sensors"]
        np.testing.assert_array_equal(evaluated["values"], arrays["values"])


def test_evaluation_shows_a_record_as_the_service_would(large: Path) -> None:
    preprocessing = Preprocessing(image=ImagePreprocessing(side_px=64), text=TextPreprocessing(max_tokens=6))
    model = served(preprocessing)
    manifest = large.parent / "pairs.csv"
    manifest.write_text("image,name\nphoto.jpg,a red star\n")
    (record,) = read_manifest(manifest, Columns(image="image", text="name"))
    evaluated = prepare(model.predictor, record).arrays
    expected = serve(model, image=large.read_bytes(), text="a red star")
    assert set(evaluated) == set(expected) == {"image", "text"}
    for modality, arrays in expected.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(evaluated[modality][name], value)
