"""Whole runs on a handful of small pictures."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import CONFIG, WEIGHTS, find_versions, read_checkpoint
from models.config import ImageEncoder, NetworkConfig
from models.errors import ConfigError, ManifestError
from retrieval.gallery import Query
from retrieval.seed_gallery import read_seed
from tests.tiny import Recorder, tiny_recipe, write_pairs
from training import run
from training.optimisation import epoch, loop
from training.recipe import Recipe

EPOCHS = {"epochs": 2, "batch_size": 8}
STAGES = dict.fromkeys(("image", "text", "fusion", "joint"), EPOCHS)
ONE_STAGE = {"joint": EPOCHS}
COLUMNS: dict[str, Any] = {"image": "image", "text": "name", "labels": ["shape", "colour"], "split": "split"}


def recipe_of(**changes: Any) -> Recipe:
    values = {
        "data": {"columns": COLUMNS, "licence": "made by a test"},
        "stages": STAGES,
        "gallery": {"max_items": 9, "thumbnail_px": 16},
        # The classes come from the manifest.
        "network": NetworkConfig.tiny().model_dump() | {"classes": {}},
    }
    return tiny_recipe(**{**values, **changes})


def train(folder: Path, recipe: Recipe, progress: Recorder | None = None, *, resume: bool = False) -> Path:
    options = run.Options(folder / "pairs.csv", folder / "out", folder / "work", resume)
    return run.train(recipe, options, progress or Recorder())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """A finished version."""
    return train(data, recipe_of())


def test_a_version_is_whole_and_says_where_it_comes_from(whole: Path) -> None:
    checkpoint = read_checkpoint(whole)
    assert {"metrics.json", "MODEL_CARD.md", "plots/learning.png", "gallery/items.jsonl"} <= set(
        checkpoint.config.files
    )
    assert checkpoint.config.network.classes["colour"].labels == ("blue", "red")
    assert set(checkpoint.config.calibration.temperatures["shape"]) == {"image", "text", "image+text"}
    assert {
        (head, subset, fitted.num_rows)
        for head, subsets in checkpoint.config.calibration.conformity.items()
        for subset, fitted in subsets.items()
    } == {(head, subset, 4) for head in ("shape", "colour") for subset in ("image", "text", "image+text")}
    provenance = checkpoint.config.provenance
    assert Recipe.parse(provenance["recipe"], "x") == recipe_of()
    assert provenance["data_licence"] == "made by a test"
    assert not (whole.parents[2] / "work" / "tiny.state.safetensors").exists()


def test_a_model_that_matches_nothing_and_is_not_searched_has_no_figures_of_retrieval(
    data: Path, tmp_path: Path
) -> None:
    objective = {"contrastive": 0.0, "contrastive_fused": 0.0}
    recipe = recipe_of(name="driver", stages=ONE_STAGE, objective=objective, gallery={"max_items": 0})
    folder = train(data, recipe)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["test"]["image+text"]) == {"shape", "colour"}
    assert "same_label" not in metrics["test"]["image+text"]["colour"]
    assert metrics["fusion_gain"]["test"]["neighbours"] == {}
    assert not [name for name in metrics["history"][-1] if name.startswith("matching/")]
    assert "etrieval" not in (folder / "MODEL_CARD.md").read_text()
    assert not (folder / "pictures" / "retrieval.jpg").exists()


def test_the_gallery_holds_rows_of_train_and_val_and_never_of_test(whole: Path) -> None:
    gallery = read_seed(whole / "gallery")
    assert len(gallery) == 9
    assert set(gallery.targets) == {"fused", "image", "text"}
    numbers = {int(str(item.text).split()[-1]) for item in gallery.page(limit=99)}
    assert not numbers & {5, 11, 17, 23}
    first = gallery.page(limit=1)[0]
    assert (gallery.image(first.id) or b"").startswith(b"\xff\xd8")
    vector = gallery.vector(first.id)
    assert vector is not None
    assert gallery.search(vector, Query(top_k=1))[0].item == first


def test_the_figures_are_by_subset_and_head(whole: Path) -> None:
    metrics = json.loads((whole / "metrics.json").read_text())
    assert set(metrics["test"]) == {"image", "text", "image+text"}
    assert {"shape", "colour", "retrieval"} == set(metrics["test"]["image+text"])
    assert [(entry["stage"], entry["epoch"]) for entry in metrics["history"]] == [
        (stage, epoch) for stage in STAGES for epoch in (1, 2)
    ]
    # Four validation rows are too few for nine in ten: every set holds every label.
    assert metrics["test"]["text"]["shape"]["coverage_90"] == {"covered": 1, "mean_size": 3}
    card = (whole / "MODEL_CARD.md").read_text()
    accuracy = metrics["test"]["image+text"]["colour"]["accuracy"]
    assert re.search(rf"\| colour \|.*{accuracy:.3f} ±", card)
    assert set(metrics["fusion_gain"]) == {"test", "val"}
    assert set(metrics["fusion_gain"]["test"]["accuracy"]) == {"shape", "colour"}


def test_the_card_shows_every_plot_and_picture_that_is_there(whole: Path) -> None:
    card = (whole / "MODEL_CARD.md").read_text()
    linked = set(re.findall(r"\]\((.+?)\)", card))
    there = {
        path.relative_to(whole).as_posix()
        for folder in ("plots", "pictures")
        for path in whole.glob(f"{folder}/*")
    }
    assert linked == there
    assert {"plots/confusion-shape.png", "pictures/retrieval.jpg"} <= there
    assert "made by a test" in card


def test_a_recipe_may_forbid_pictures_of_the_data(data: Path) -> None:
    folder = train(data, recipe_of(name="unseen", stages=ONE_STAGE, report={"pictures": False}))
    assert (folder / "plots").is_dir()
    assert not (folder / "pictures").exists()
    assert "pictures/" not in (folder / "MODEL_CARD.md").read_text()


def test_the_next_run_is_the_next_version_and_equals_the_first(data: Path, whole: Path) -> None:
    again = train(data, recipe_of())
    assert (again.name, again.parent) == (str(int(whole.name) + 1), whole.parent)
    assert (again / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_loading_ahead_changes_no_weight(data: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = 1 - epoch.steps_ahead(torch.device("cpu"))
    monkeypatch.setattr(epoch, "steps_ahead", lambda _device: other)
    assert (train(data, recipe_of()) / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


@pytest.mark.parametrize("stop", ["text 2/2", "fusion 1/2", "fusion 2/2", "joint 2/2", "gallery"])
def test_a_run_that_was_interrupted_anywhere_and_resumed_equals_an_unbroken_one(
    data: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    monkeypatch.setattr(loop, "SAVE_INTERVAL_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe_of(), Recorder(stop=lambda name: name == stop))
    progress = Recorder()
    resumed = train(data, recipe_of(), progress, resume=True)
    assert "image 1/2" not in progress.started
    assert (resumed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert (resumed / "gallery" / "vectors.safetensors").read_bytes() == (
        whole / "gallery" / "vectors.safetensors"
    ).read_bytes()


def test_a_run_may_save_memory_and_stop_early(data: Path) -> None:
    image = {**EPOCHS, "precision": "bf16", "checkpointing": True, "accumulate": 2, "backbone_learning_rate": 1e-4}
    joint = {"epochs": 30, "batch_size": 8, "precision": "fp16", "patience": 1, "monitor": "image+text"}
    folder = train(data, recipe_of(name="frugal", stages={"image": image, "joint": joint}))
    history = json.loads((folder / "metrics.json").read_text())["history"]
    assert [entry["stage"] for entry in history[:3]] == ["image", "image", "joint"]
    assert len(history) < 2 + 30


def test_what_an_interrupted_run_leaves_is_no_version(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe_of(), Recorder(stop=lambda name: name == "gallery"))
    assert (tmp_path / "out" / "tiny" / "1").is_dir()
    assert not (tmp_path / "out" / "tiny" / "1" / CONFIG).exists()
    assert find_versions(tmp_path / "out") == {}
    assert train(tmp_path, recipe_of(), resume=True).name == "2"


def test_another_recipe_cannot_resume_a_run(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe_of(), Recorder(stop=lambda name: name == "text 1/2"))
    with pytest.raises(ConfigError, match="another recipe or other data"):
        train(tmp_path, recipe_of(seed=1), resume=True)


def test_faults_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    path.write_text(path.read_text().replace("7.png", "none.png"))
    progress = Recorder()
    with pytest.raises(ManifestError, match=r"pairs\.csv:9: no image at 'none\.png'"):
        train(tmp_path, recipe_of(), progress)
    assert progress.started == []
    assert not (tmp_path / "out").exists()


def figures_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())["test"]
    return found


@pytest.mark.parametrize("only", ["image", "text"])
def test_a_model_of_one_modality_can_be_trained(data: Path, only: str) -> None:
    other = {"image": "text", "text": "image"}[only]
    columns = {name: value for name, value in COLUMNS.items() if name != other}
    network = {**NetworkConfig.tiny().model_dump(), "classes": {}, other: None}
    preprocessing = {only: tiny_recipe().preprocessing.model_dump()[only]}
    recipe = recipe_of(
        name=f"only-{only}",
        data={"columns": columns},
        network=network,
        preprocessing=preprocessing,
        stages=ONE_STAGE,
    )
    assert set(figures_of(train(data, recipe))) == {only}


def test_pairs_without_any_label_train_an_embedding(data: Path) -> None:
    columns = {name: value for name, value in COLUMNS.items() if name != "labels"}
    folder = train(data, recipe_of(name="unlabelled", data={"columns": columns}, stages=ONE_STAGE))
    assert set(figures_of(folder)["image+text"]) == {"retrieval"}
    assert read_checkpoint(folder).config.network.classes == {}


def test_an_encoder_alone_needs_something_to_learn(data: Path) -> None:
    columns = {name: value for name, value in COLUMNS.items() if name != "labels"}
    with pytest.raises(ConfigError, match=r"stages\.image trains an encoder alone, .* Remove the stage\."):
        train(data, recipe_of(name="unlabelled", data={"columns": columns}))


@pytest.mark.parametrize("kind", ["targets", "multi_labels"])
def test_a_model_without_a_head_of_one_label_can_be_trained(tmp_path: Path, kind: str) -> None:
    path = write_pairs(tmp_path)
    header, *lines = path.read_text().splitlines()
    cells = [f"{line},{number % 5},{'|'.join(line.split(',')[2:4])}" for number, line in enumerate(lines)]
    path.write_text("\n".join([f"{header},size,tags", *cells]) + "\n")
    head = {"targets": "size", "multi_labels": "tags"}[kind]
    columns = {**{name: value for name, value in COLUMNS.items() if name != "labels"}, kind: head}
    folder = train(tmp_path, recipe_of(name="other", data={"columns": columns}))
    found = figures_of(folder)
    assert set(found["text"]) == {head}
    assert set(found["image+text"]) == {head, "retrieval"}
    config = read_checkpoint(folder).config
    assert config.network.single_label_heads == ()
    card = (folder / "MODEL_CARD.md").read_text()
    assert "### Several labels, and numbers" in card
    assert f"| {head} | " in card
    entry = json.loads((folder / "metrics.json").read_text())["history"][-1]
    assert f"image+text/{head}" in entry
    (item, *_) = read_seed(folder / "gallery").page(limit=1)
    if kind == "targets":
        assert item.metadata["size"] in range(5)
    else:
        assert len(item.labels["tags"]) == 2


def test_rows_may_lack_an_image_a_text_or_labels(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    header, *lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        image, name, shape, colour, split = line.split(",")
        missing = number // 2 % 4
        image, name = ("" if missing == 1 else image), ("" if missing == 2 else name)
        lines[number] = ",".join((image, name, "" if missing == 3 else shape, "" if number > 6 else colour, split))
    path.write_text("\n".join([header, *lines]) + "\n")
    folder = train(tmp_path, recipe_of(stages={name: {"epochs": 1, "batch_size": 2} for name in STAGES}))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.gallery_path is not None
    assert {"image", "text", "image+text"} >= set(figures_of(folder))


def test_a_trained_network_tells_the_colours_apart(tmp_path: Path) -> None:
    write_pairs(tmp_path, 48)
    stage = {"epochs": 12, "batch_size": 8, "learning_rate": 1e-2, "ema_decay": 0.5}
    image = ImageEncoder(backbone="test_efficientnet", colour_bins=3, hidden=16, frozen_blocks=9)
    network = {**NetworkConfig.tiny().model_dump(), "classes": {}, "image": image.model_dump()}
    folder = train(tmp_path, recipe_of(network=network, stages={"joint": stage}))
    figures = figures_of(folder)
    assert figures["image"]["colour"]["accuracy"] > 0.8
    assert figures["text"]["colour"]["accuracy"] > 0.8
