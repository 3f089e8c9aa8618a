"""Whole runs that learn to write, on a handful of small pictures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from models.caption import Writing
from models.checkpoint import WEIGHTS, read_checkpoint
from models.config import NetworkConfig
from models.decode import decode_image
from models.errors import ConfigError, ManifestError
from models.predictor import load_predictor
from models.sample import Sample
from tests.tiny import Recorder, tiny_recipe, write_pairs
from training import run
from training.comparison import Asked, compare
from training.data.written import IGNORED, Written
from training.optimisation import loop
from training.recipe import Recipe

COLUMNS: dict[str, Any] = {
    "image": "image",
    "text": "name",
    "caption": "words",
    "labels": ["shape", "colour"],
    "split": "split",
}
STAGE = {"epochs": 2, "batch_size": 8}


def recipe_of(stages: dict[str, Any], **changes: Any) -> Recipe:
    network = NetworkConfig.tiny_caption(tokens=(), blind=0.1, layers=1, dropout=0.0).model_dump()
    values = {
        "data": {"columns": COLUMNS},
        "stages": stages,
        "network": network | {"classes": {}},
        "gallery": {"max_items": 0},
    }
    return tiny_recipe(**{**values, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured shapes, and what they are in words; a list is two captions."""
    folder = tmp_path_factory.mktemp("data")
    lines = write_pairs(folder, 48).read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    for row in rows:
        row["words"] = [f"a {row['colour']} thing", f"it is {row['colour']}"]  # type: ignore[assignment]
    rows[0]["words"] = []  # type: ignore[assignment]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def train(data: Path, recipe: Recipe, progress: Recorder | None = None, *, resume: bool = False) -> Path:
    options = run.Options(data / "pairs.jsonl", data / "out", data / "work", resume)
    folder = run.train(recipe, options, progress or Recorder())
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def heads(data: Path) -> Path:
    """A version without a caption."""
    network = NetworkConfig.tiny().model_dump() | {"classes": {}}
    columns = {name: column for name, column in COLUMNS.items() if name != "caption"}
    return train(data, recipe_of({"joint": STAGE}, name="heads", network=network, data={"columns": columns}))


@pytest.fixture(scope="module")
def titles(data: Path, heads: Path) -> Path:
    """The same with a caption beside the heads."""
    stages = {"caption": {"epochs": 60, "batch_size": 8, "learning_rate": 0.01}}
    return train(data, recipe_of(stages, start_from=str(heads), objective={"captions_a_step": 2}))


def test_a_head_that_is_put_beside_others_changes_none_of_them(heads: Path, titles: Path) -> None:
    before, after = (load((folder / WEIGHTS).read_bytes()) for folder in (heads, titles))
    own = {name: value for name, value in before.items() if not name.startswith("graph/")}
    assert own.keys() <= after.keys()
    for name, value in own.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    was, now = (json.loads((folder / "metrics.json").read_text())["test"] for folder in (heads, titles))
    for subset, figures in was.items():
        for head in ("shape", "colour"):
            assert now[subset][head]["accuracy"] == figures[head]["accuracy"]


def test_it_writes_what_it_sees(data: Path, titles: Path) -> None:
    predictor = load_predictor(read_checkpoint(titles))
    assert predictor.captioner is not None
    rows = [json.loads(line) for line in (data / "pairs.jsonl").read_text().splitlines()]
    train_rows = [row for row in rows if row["split"] == "train"][:12]
    examples = [
        predictor.prepare(Sample(image=decode_image((data / row["image"]).read_bytes(), side_px=32)))
        for row in train_rows
    ]
    for writing in (Writing(), Writing(num_beams=3)):
        found = predictor.captioner.caption(examples, [writing] * len(examples))
        right = sum(row["colour"] in caption.text for row, caption in zip(train_rows, found, strict=True))
        assert right >= 10
    (onward,) = predictor.captioner.caption(examples[:1], [Writing()], ["it is"])
    assert onward.text == f" {train_rows[0]['colour']}"


def test_what_is_written_is_measured_and_shown(titles: Path) -> None:
    figures = json.loads((titles / "metrics.json").read_text())["test"]["image"]["caption"]
    assert {"bleu_1", "bleu_4", "rouge_l", "cider", "distinct_1", "rows"} <= figures.keys()
    assert 0 <= figures["bleu_4"] <= figures["bleu_1"] <= 1
    assert "### What it writes" in (titles / "MODEL_CARD.md").read_text()
    assert (titles / "pictures" / "captions.jpg").stat().st_size > 1_000


def test_a_run_that_was_interrupted_and_resumed_equals_an_unbroken_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of({"caption": STAGE, "joint": {"epochs": 1, "batch_size": 8}})
    whole = train(data, recipe)
    monkeypatch.setattr(loop, "SAVE_INTERVAL_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(data, recipe, Recorder(stop=lambda name: name == "caption 2/2"))
    resumed = train(data, recipe, resume=True)
    assert (resumed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_a_network_may_write_and_nothing_else(data: Path) -> None:
    """Neither text nor labels: subwords are learnt from the captions."""
    network = NetworkConfig.tiny_caption(tokens=(), layers=1).model_dump() | {"classes": {}, "text": None}
    recipe = recipe_of(
        {"caption": {**STAGE, "precision": "bf16"}},
        name="alone",
        network=network,
        preprocessing={"image": {"side_px": 32}},
        data={"columns": {"image": "image", "caption": ["words"], "split": "split"}},
    )
    folder = train(data, recipe)
    predictor = load_predictor(read_checkpoint(folder), engine="torch")
    assert predictor.captioner is not None
    example = predictor.prepare(Sample(image=decode_image((data / "1.png").read_bytes(), side_px=32)))
    assert predictor.captioner.caption([example], [Writing(max_tokens=3)])[0].num_tokens <= 3


def test_joint_training_alone_learns_to_write_too(data: Path) -> None:
    folder = train(data, recipe_of({"joint": {"epochs": 1, "batch_size": 8}}, name="joint"))
    history = json.loads((folder / "metrics.json").read_text())["history"]
    assert "image/caption" in history[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"columns": {**COLUMNS, "caption": ()}}}, "caption: data.columns and network must both"),
        ({"stages": {"fusion": STAGE}}, "network.caption: nothing trains it"),
        (
            {"network": NetworkConfig.tiny().model_dump() | {"classes": {}}, "data": {"columns": COLUMNS}},
            "caption: data.columns and network must both",
        ),
        ({"data": {"columns": {**COLUMNS, "labels": ["caption"]}}}, "a head named 'caption'"),
        (
            {
                "data": {"columns": {**COLUMNS, "caption": ["words", "name"]}},
                "network": NetworkConfig.tiny_caption(tokens=(), reads=["image", "text"]).model_dump()
                | {"classes": {}},
            },
            "network.caption.reads: 'name' is a column of data.columns.text too",
        ),
    ],
)
def test_a_recipe_that_cannot_write_is_refused(change: dict[str, Any], message: str) -> None:
    values = recipe_of({"caption": STAGE, "joint": STAGE}).model_dump()
    with pytest.raises(ConfigError, match=re.escape(message)):
        Recipe.parse({**values, **change}, "recipe")


def test_heads_that_nothing_trains_are_told_of(data: Path) -> None:
    with pytest.raises(ConfigError, match="nothing trains the heads"):
        train(data, recipe_of({"caption": STAGE}))


def test_a_caption_of_no_weight_that_nothing_else_trains_is_refused(data: Path, heads: Path) -> None:
    changes: dict[str, Any] = {"objective": {"caption": 0}}
    with pytest.raises(ConfigError, match=r"objective\.caption = 0: nothing else trains network\.caption"):
        train(data, recipe_of({"joint": STAGE}, **changes))
    with pytest.raises(ConfigError, match=r"network\.caption: nothing trains it .* has none like it"):
        train(data, recipe_of({"joint": STAGE}, start_from=str(heads), **changes))
    assert recipe_of({"joint": STAGE}, **changes).untrained == ("caption",)
    assert recipe_of({"joint": STAGE, "caption": STAGE}, **changes).untrained == ()


def test_a_comparison_of_fusions_says_nothing_of_captions(data: Path, tmp_path: Path) -> None:
    """The decoder of a trial is new, and no stage of it trains one."""
    recipe, progress = recipe_of({"fusion": STAGE, "caption": STAGE}), Recorder()
    pairs = run.check(recipe, data / "pairs.jsonl", progress)
    trials = compare(recipe, pairs, Asked(["add"], 1, [recipe]), tmp_path / "work", tmp_path / "out", progress)
    for trial in trials:
        assert {name.split("/")[1] for name in trial.figures} == {
            "shape",
            "colour",
            "text_to_image",
            "image_to_text",
        }
    assert "transcripts and captions are not compared: they do not depend on the fusion" in progress.lines
    # Trials of before had such figures.
    ledger = tmp_path / "out" / "trials.json"
    ledger.write_text(ledger.read_text().replace('"figures": {', '"figures": {"image/caption": 0.01,'))
    asked = Asked(["add"], 1, [recipe])
    assert compare(recipe, pairs, asked, tmp_path / "work", tmp_path / "out", progress) == trials


def test_rows_without_captions_teach_nothing_and_none_at_all_is_a_fault(data: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (data / "pairs.jsonl").read_text().splitlines()]
    for line in lines:
        line["words"] = [] if line["split"] == "train" else ["a late one"]
        line["image"] = str(data / line["image"])
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ManifestError, match="no row of train has a caption"):
        train(tmp_path, recipe_of({"caption": STAGE, "joint": STAGE}))


def test_a_step_draws_captions_of_each_row_and_nothing_beyond_their_end() -> None:
    written = Written([[[5, 6], [7]], [[8, 2, 9]], []], max_tokens=8)
    assert written.has_N.tolist() == [True, True, False]
    drawn = written.draw(np.array([0, 1]), 2, 0.0, torch.Generator().manual_seed(0))
    texts = {tuple(row) for row in drawn.targets_RT.tolist()}
    # The end is 1, and a subword that is not learnt (2) is passed over.
    assert {(5, 6, 1, IGNORED), (7, 1, IGNORED, IGNORED), (8, IGNORED, 9, 1)} <= texts
    assert drawn.ids_RT[drawn.targets_RT[:, 0] == 8].tolist() == [[0, 8, 2, 9]]
    assert (IGNORED,) * 4 in texts  # row 1 has only one
    assert not drawn.hidden_n.any()
    assert written.draw(np.array([0, 1]), 1, 1.0, torch.Generator()).hidden_n.all()


def test_each_of_a_great_many_captions_is_drawn_some_time() -> None:
    written = Written([[[number] for number in range(3, 103)]], max_tokens=2)
    draws = (
        written.draw(np.array([0]), 4, 0.0, torch.Generator().manual_seed(seed)).targets_RT[:, 0].tolist()
        for seed in range(300)
    )
    assert {number for four in draws for number in four} == set(range(3, 103))


def test_a_text_that_is_too_long_is_cut_and_has_no_end() -> None:
    drawn = Written([[[5, 6, 7]]], max_tokens=2).first(np.array([0]), 1)
    assert drawn.ids_RT.tolist() == [[0, 5, 6]]
    assert drawn.targets_RT.tolist() == [[5, 6, IGNORED]]
