import re
from typing import Any

import pytest

from models.checkpoint import CheckpointConfig
from tests.tiny import tiny_checkpoint
from training.report.card import evaluation_report, model_card
from training.report.markdown import image, section, table
from training.report.tables import coverage_table, gain_table, in_words, stages_table

PROVENANCE = {
    "seed": 7,
    "data_hash": "abcdef0123456789",
    "data_licence": "Shapes, drawn by a test, CC0.",
    "pretrained": "random weights",
    "commit": "",
    "hardware": "an abacus",
    "torch": "2.6",
}
NEAR = {"map": 0.625, "ndcg@10": 0.875, "queries": 11, "gallery": 11}
COLOUR = {
    "accuracy": 0.75, "standard_error": 0.125, "count": 12, "ece": 0.05, "ece_floor": 0.04, "same_label": NEAR
}  # fmt: skip
RANKS = {
    "r@1": 0.5, "r@5": 0.75, "r@10": 1.0, "ndcg@10": 0.7, "median_rank": 1.5, "queries": 12, "gallery": 1200
}  # fmt: skip
GAIN = {"best": "text", "rows": 12, "fused": 0.75, "alone": 0.5, "difference": 0.25, "low": 0.1, "high": 0.4}
FACTS: dict[str, Any] = {
    "manifest": "shapes.csv",
    "hash": PROVENANCE["data_hash"],
    "rows": 1234,
    "splits": {"train": 1210, "val": 12, "test": 12},
    "images": 1200,
    "repeated": {"image": 34, "name": 5},
    "missing": {"text": {"train": 10, "val": 0, "test": 1}},
    "labels": {"colour": 2},
    "rare_labels": {"colour": 1},
}
SUBSETS = {"text": {"colour": COLOUR}, "image+text": {"colour": COLOUR, "retrieval": {"text_to_image": RANKS}}}
GAINS = {"accuracy": {"colour": GAIN}, "neighbours": {}}
METRICS: dict[str, Any] = {
    "version": 3,
    "data": FACTS,
    "test": SUBSETS,
    "fusion_gain": {"test": GAINS},
    "history": [{"stage": "joint", "epoch": 1, "seconds": 90.0, "loss": 2.5, "image+text/colour": 0.7}],
}
EVALUATED: dict[str, Any] = {
    "checkpoint": "tiny/3",
    "split": "all",
    "rows": 1234,
    "command": "python -m training evaluate tiny/3 shapes.csv",
    "data": FACTS,
    "subsets": SUBSETS,
    "fusion_gain": GAINS,
}
NOTHING: dict[str, Any] = {"accuracy": {}, "neighbours": {}}


@pytest.fixture
def config() -> CheckpointConfig:
    return tiny_checkpoint().config.model_copy(update={"provenance": PROVENANCE})


def empty_sections(words: str) -> list[str]:
    """Headings with nothing before the next of the same or a higher level, or the end."""
    blocks = words.strip().split("\n\n")
    depths = [len(found[0]) if (found := re.match("#+", block)) else 9 for block in blocks] + [0]
    return [block for block, depth, after in zip(blocks, depths, depths[1:], strict=False) if after <= depth < 9]


def test_a_card_says_what_it_was_made_of(config: CheckpointConfig) -> None:
    card = model_card(config, METRICS, ())
    for expected in (
        "# tiny 3\n",
        "Shapes, drawn by a test, CC0.",
        "`shapes.csv`, hash abcdef012345: 1,234 rows with 1,200 distinct images (1,210 train, 12 val, 12 test).",
        "34 repeat the image; 5 repeat the name;",
        "| text | 10 of 1,210 | 0 of 12 | 1 of 12 |",
        "## Figures on the test split, 12 rows",
        "| colour | 0.750 ± 0.125 | 0.750 ± 0.125 |",
        "| colour | 0.050 (0.040) | 0.050 (0.040) |",
        "| colour | 0.750 | 0.500 (text) | +0.250 [+0.100, +0.400] | **gains** |",
        "| text to image | 0.500 | 0.750 | 1.000 | 0.700 | 1.5 | 1,200 |",
        "| colour | 0.625 (0.875) | 0.625 (0.875) |",
        "| joint | 1 | 1.5 | 2.500 | 0.700 |",
        "Seed 7, torch 2.6. Pretrained weights: random weights. Hardware: an abacus.",
        "| colour | 2 | 1 |",
    ):
        assert expected in card
    assert empty_sections(card) == []


def test_a_card_links_only_to_what_is_there(config: CheckpointConfig) -> None:
    assert "](" not in model_card(config, METRICS, ())
    files = ("plots/learning.png", "plots/confusion-colour.png", "pictures/errors.jpg")
    assert set(re.findall(r"\]\((.+?)\)", model_card(config, METRICS, files))) == set(files)


def test_what_was_not_measured_has_no_section(config: CheckpointConfig) -> None:
    metrics = {**METRICS, "test": {"text": {}}, "fusion_gain": {"test": NOTHING}}
    card = model_card(config, metrics, ())
    assert not re.search("### (Accuracy|What fusion|Retrieval|Calibration|Where)", card)
    assert empty_sections(card) == []


def test_without_a_test_split_the_card_says_that_val_was_measured(config: CheckpointConfig) -> None:
    facts = {**FACTS, "splits": {"train": 1210, "val": 24, "test": 0}}
    card = model_card(config, {**METRICS, "data": facts}, ())
    assert "## Figures on the val split, 24 rows\n\nNo row is in test" in card


def test_an_evaluation_is_reported_alike(config: CheckpointConfig) -> None:
    report = evaluation_report(config, {**EVALUATED, "split": "val", "rows": 12}, ("plots/reliability.png",))
    assert report.startswith("# tiny/3 on shapes.csv, split val\n")
    assert "Trained on: Shapes, drawn by a test, CC0. Image weights from: random weights." in report
    assert "| colour | 0.750 ± 0.125 | 0.750 ± 0.125 |" in report
    assert "](plots/reliability.png)" in report
    assert empty_sections(report) == []


def test_the_recall_of_an_index_is_shown_where_it_was_measured(config: CheckpointConfig) -> None:
    subsets = {"image+text": {"retrieval": {"text_to_image": {**RANKS, "index_recall@10": 0.9876}}}}
    report = evaluation_report(config, {**EVALUATED, "subsets": subsets}, ())
    assert "| median rank | gallery | index's recall@10 |" in report
    assert "| 1.5 | 1,200 | 0.9876 |" in report


@pytest.mark.parametrize(
    ("split", "data_hash", "told"), [("all", None, True), ("val", None, False), ("all", "x", False)]
)
def test_figures_on_rows_that_the_model_was_trained_on_are_called_so(
    config: CheckpointConfig, split: str, data_hash: str | None, told: bool
) -> None:
    facts = {**FACTS, "hash": data_hash or PROVENANCE["data_hash"]}
    report = evaluation_report(config, {**EVALUATED, "split": split, "data": facts}, ())
    assert ("The model was trained on rows of these" in report) == told


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.2, "**gains**"),
        (-0.2, -0.01, "**loses**"),
        (-0.1, 0.1, "cannot be told from nothing"),
        (0.0, 0.1, "cannot be told from nothing"),
        (-0.1, 0.0, "cannot be told from nothing"),
    ],
)
def test_a_gain_is_one_only_where_the_whole_interval_says_so(low: float, high: float, words: str) -> None:
    assert in_words(low, high) == words
    assert words in gain_table({"colour": {**GAIN, "low": low, "high": high}}, "image+text")


def test_coverage_is_shown_where_it_was_measured() -> None:
    assert coverage_table(SUBSETS) == ""
    sets = {"coverage_90": {"covered": 0.912, "mean_size": 1.25}}
    assert "| colour |  | 0.912 (1.2) |" in coverage_table(
        {"image": {"colour": COLOUR}, "text": {"colour": {**COLOUR, **sets}}}
    )


def test_stages_that_train_other_heads_share_a_table() -> None:
    history = [
        {"stage": "image", "epoch": 1, "seconds": 60.0, "loss": 1.0, "shape": 0.5},
        {"stage": "joint", "epoch": 1, "seconds": 30.0, "loss": 3.0, "image/colour": 0.1, "text/colour": 0.2},
        {"stage": "joint", "epoch": 2, "seconds": 60.0, "loss": 2.0, "image/colour": 0.3, "text/colour": 0.4},
    ]
    assert stages_table(history).splitlines()[2:] == [
        "| image | 1 | 1.0 | 1.000 | 0.500 |  |",
        "| joint | 2 | 1.5 | 2.000 |  | 0.400 |",
    ]


def test_a_cell_cannot_break_its_table() -> None:
    assert table(("a",), [("x|y\nz",)]) == "| a |\n|---|\n| x\\|y z |"


def test_a_section_without_parts_is_nothing() -> None:
    assert section("## Title", "", "") == ""
    assert table(("a",), []) == ""
    assert image("x", "a.png", ("b.png",)) == ""


def test_it_says_on_which_rows_subsets_are_judged_that_lack_what_says_what_is_meant() -> None:
    rule = {"without": ["text"], "means": {"colour": "red"}}
    plain, ruled = (
        tiny_checkpoint().config.model_copy(update={"provenance": PROVENANCE | more})
        for more in ({}, {"recipe": {"objective": {"unsaid": rule}}})
    )
    assert "they are of the rows" not in model_card(plain, METRICS, ())
    words = "Without text, they are of the rows where colour is red, and say nothing of colour."
    assert words in model_card(ruled, METRICS, ())


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "numbers for retrieval come out"),
        ({"objective": {"contrastive": 0.0, "contrastive_fused": 0.0}}, "numbers for retrieval come out"),
        (
            {"objective": {"contrastive": 0.0, "contrastive_fused": 0.0}, "gallery": {"max_items": 0}},
            "numbers (which nothing was trained to compare) come out",
        ),
    ],
)
def test_it_says_what_the_embedding_is_for(recipe: dict[str, Any], words: str) -> None:
    config = tiny_checkpoint().config.model_copy(update={"provenance": PROVENANCE | {"recipe": recipe}})
    assert words in model_card(config, METRICS, ())
