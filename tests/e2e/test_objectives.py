"""A manifest with every kind of column → train → serve → predict: a label, several labels, two numbers."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.loading import load_service
from app.settings import Settings
from models.checkpoint import read_checkpoint
from models.config import ImageEncoder, NetworkConfig
from tests.fakes import serving
from tests.tiny import SIDE_PX, Recorder, image_file, picture, tiny_recipe
from training import run

pytestmark = pytest.mark.slow

COLUMNS = {
    "image": "image",
    "text": "name",
    "labels": "shape",
    "multi_labels": "tags",
    "targets": ["price", "weight"],
    "split": "split",
}
SHAPES, SPLITS = ("circle", "square", "star"), ("train", "train", "train", "train", "val", "test")
TARGETS = {"price": {"unit": "EUR", "uncertainty": True}}


def price_of(shape: str, colour: str) -> float:
    return 100.0 + 20 * SHAPES.index(shape) + (100 if colour == "red" else 0)


def write_goods(folder: Path, count: int = 72) -> Path:
    """Goods whose price follows from shape and colour; every tenth cell is empty."""
    lines = []
    for number in range(count):
        shape, colour = SHAPES[number % 3], ("blue", "red")[number // 3 % 2]
        image = picture(number)
        image[4:28, 4:28] = (0, 0, 255) if colour == "blue" else (255, 0, 0)
        (folder / f"{number}.png").write_bytes(image_file(image))
        row: dict[str, Any] = {
            "image": f"{number}.png",
            "name": [f"a {colour} {shape}", f"{shape}, {colour}"],
            "shape": shape,
            "tags": [colour, "even"] if number % 2 == 0 else [colour],
            "price": price_of(shape, colour),
            "weight": number % 7,
            "split": SPLITS[number // 6 % 6],
        }
        if number % 10 == 0:
            row |= {"shape": None, "tags": None, "price": None}
        lines.append(json.dumps(row))
    path = folder / "goods.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("goods")
    stage = {"epochs": 25, "batch_size": 8, "learning_rate": 1e-2, "ema_decay": 0.5}
    alone = {"epochs": 2, "batch_size": 8}
    image = ImageEncoder(backbone="test_efficientnet", colour_bins=3, hidden=16, frozen_blocks=9)
    network = {**NetworkConfig.tiny().model_dump(), "classes": {}, "targets": TARGETS, "image": image.model_dump()}
    recipe = tiny_recipe(
        name="goods",
        data={"columns": COLUMNS},
        network=network,
        objective={"weighting": "uncertainty", "class_weights": "balanced", "contrastive_kind": "sigmoid"},
        stages={"image": alone, "text": alone, "joint": stage},
        gallery={"max_items": 9, "thumbnail_px": 16},
    )
    options = run.Options(write_goods(folder), folder / "checkpoints", folder / "work")
    return run.train(recipe, options, Recorder())


@pytest.fixture(scope="module")
def client(version: Path) -> Iterator[httpx.Client]:
    with serving(Settings(checkpoints=version.parents[1], num_workers=1), load_service) as client:
        yield client


def test_the_heads_know_the_labels_and_the_scale_of_the_training_rows(version: Path) -> None:
    network = read_checkpoint(version).config.network
    assert network.classes["tags"].labels == ("blue", "even", "red")
    assert (network.classes["tags"].multi_label, network.classes["shape"].multi_label) == (True, False)
    price = network.targets["price"]
    assert (price.unit, price.uncertainty) == ("EUR", True)
    assert 140 < price.mean < 200
    assert 40 < price.std < 65


def test_an_answer_has_numbers_near_the_truth_in_their_unit(client: httpx.Client) -> None:
    picture_of = {}
    for colour, pixel in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        image = picture(500)
        image[4:28, 4:28] = pixel
        assert image.shape == (SIDE_PX, SIDE_PX, 3)
        picture_of[colour] = base64.b64encode(image_file(image)).decode()
    for colour, image64 in picture_of.items():
        body = client.post("/predict", json={"text": f"a {colour} star", "image": image64}).json()
        assert set(body["values"]) == {"price", "weight"}
        price = body["values"]["price"]
        assert price["value"] == pytest.approx(price_of("star", colour), abs=35)
        assert price["unit"] == "EUR"
        assert 0 < price["std"] < 100
        assert set(body["values"]["weight"]) == {"value"}
        scores = {entry["label"]: entry["score"] for entry in body["classes"]["tags"]}
        assert scores[colour] > 0.5
        assert scores["red" if colour == "blue" else "blue"] < 0.5


def test_a_number_and_several_labels_of_an_item_can_be_filtered_by(client: httpx.Client) -> None:
    wanted = {"metadata.price": {"gte": 200}, "labels.tags": "red"}
    matches = client.post("/predict", json={"text": "a red star", "filter": wanted}).json()["matches"]
    assert matches
    for match in matches:
        assert match["metadata"]["price"] >= 200
        assert "red" in match["labels"]["tags"]


def test_the_figures_and_the_learnt_weights_are_noted(version: Path) -> None:
    metrics = json.loads((version / "metrics.json").read_text())
    pair = metrics["test"]["image+text"]
    assert set(pair) == {"shape", "tags", "price", "weight", "retrieval"}
    assert set(pair["price"]) == {"mae", "rmse", "r2", "count", "coverage_90"}
    assert set(pair["weight"]) == {"mae", "rmse", "r2", "count"}
    assert set(pair["tags"]) == {"map", "f1", "count"}
    assert pair["price"]["r2"] > 0.5
    assert pair["tags"]["map"] > 0.5
    image, joint = metrics["history"][0], metrics["history"][-1]
    # A head with its own deviation is weighed by that.
    assert set(image["task_weights"]) == {"shape", "tags", "weight"}
    assert set(joint["task_weights"]) == {"shape", "tags", "weight", "contrastive", "contrastive_fused"}
    assert all(0 < weight < 50 for weight in joint["task_weights"].values())
    assert {"image+text/shape", "image+text/tags", "image+text/price"} <= set(joint)


def test_the_torch_engine_gives_the_same_numbers(version: Path, client: httpx.Client) -> None:
    settings = Settings(checkpoints=version.parents[1], num_workers=1, engine="torch")
    with serving(settings, load_service) as other:
        for item in ({"text": "a blue star"}, {"text": "a red circle"}):
            one, two = (each.post("/predict", json=item).json()["values"] for each in (client, other))
            assert one["price"]["value"] == pytest.approx(two["price"]["value"], rel=1e-3)
            assert one["price"]["std"] == pytest.approx(two["price"]["std"], rel=1e-3)


def test_a_model_is_described_with_its_numbers(client: httpx.Client) -> None:
    model = client.get("/models/goods").json()
    assert model["heads"]["tags"] == {"labels": ["blue", "even", "red"], "multi_label": True}
    assert set(model["values"]["weight"]) == {"mean", "std", "uncertainty"}
    assert model["values"]["price"]["unit"] == "EUR"


def test_prediction_sets_are_of_the_heads_of_one_label(client: httpx.Client) -> None:
    body = client.post("/predict", json={"text": "a red star", "coverage": 0.8}).json()
    assert set(body["prediction_sets"]) == {"shape"}
    assert "values" in body
