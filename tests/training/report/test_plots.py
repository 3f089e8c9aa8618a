import io

import numpy as np
from PIL import Image

from models.config import ClassificationHead, NetworkConfig
from models.manifest import Record
from tests.tiny import tiny_checkpoint
from training.measures.outputs import SubsetOutput
from training.report.plots import confusion_plots, learning_plot, reliability_plot, stage_heads, telling_labels

COUNTS = np.array(
    [
        [50, 0, 0, 0],  # the most frequent, and never wrong
        [0, 5, 4, 0],
        [0, 1, 6, 0],
        [0, 0, 0, 0],  # neither a label nor a prediction
    ]
)


def test_labels_that_tell_most_have_most_errors_and_stand_by_frequency() -> None:
    # Errors as label or prediction: 0, 4 + 1, 1 + 4, 0. Class 3 does not occur.
    assert telling_labels(COUNTS) == [0, 1, 2]
    assert telling_labels(COUNTS, limit=2) == [1, 2]
    # Of equally many errors, the more frequent counts: 9 rows against 7.
    assert telling_labels(COUNTS, limit=1) == [1]


def test_a_label_that_is_only_predicted_is_shown() -> None:
    assert telling_labels(np.array([[3, 1], [0, 0]])) == [0, 1]


def test_a_stage_names_its_heads_or_the_last_subset_s() -> None:
    alone = {"stage": "image", "epoch": 1, "loss": 2.0, "seconds": 3.0, "colour": 0.5}
    assert stage_heads(alone) == {"colour": "colour"}
    shared = {"stage": "joint", "epoch": 1, "image/colour": 0.5, "text/colour": 0.6, "image+text/colour": 0.7}
    assert stage_heads(shared) == {"colour": "image+text/colour"}


def image_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# Dollars would begin a formula, and no font that comes along has Chinese.
HEADS = {"a b/c": ("$1", "$2"), "a b?c": ("红", "blue|green")}


def sample(rows: int = 4) -> tuple[dict[str, SubsetOutput], list[Record]]:
    logits = {head: np.tile(np.array([[0.0, 1.0]], dtype=np.float32), (rows, 1)) for head in HEADS}
    output = SubsetOutput(np.arange(rows), logits, np.zeros((rows, 2)))
    labels = [{head: names[row % 2] for head, names in HEADS.items()} for row in range(rows)]
    records = [Record(row=row, id=str(row), labels=found) for row, found in enumerate(labels)]
    return {"image": output, "image+text": output}, records


def config_of(heads: dict[str, tuple[str, ...]]):  # noqa: ANN201 - a checkpoint's config
    classes = {head: ClassificationHead(labels=labels) for head, labels in heads.items()}
    network = NetworkConfig.model_validate({**NetworkConfig.tiny().model_dump(), "classes": classes})
    return tiny_checkpoint().config.model_copy(update={"network": network})


def test_every_head_has_a_confusion_under_a_name_that_a_link_can_hold() -> None:
    files = confusion_plots(*sample(), config_of(HEADS))
    assert list(files) == ["plots/confusion-a-b-c.png", "plots/confusion-a-b-c-2.png"]
    assert all(image_of(data).format == "PNG" for data in files.values())


def test_a_confusion_stands_beside_that_of_the_weakest_subset() -> None:
    outputs, records = sample()
    better = SubsetOutput(
        np.arange(4), {head: np.eye(2, dtype=np.float32)[[0, 1, 0, 1]] for head in HEADS}, np.zeros((4, 2))
    )
    one = confusion_plots({"image+text": outputs["image"]}, records, config_of(HEADS))
    two = confusion_plots({"image": outputs["image"], "image+text": better}, records, config_of(HEADS))
    name = "plots/confusion-a-b-c.png"
    assert len(two[name]) > 1.2 * len(one[name])


def test_many_labels_are_cut_to_what_can_be_read() -> None:
    names = tuple(f"a label with a long name {number}" for number in range(60))
    logits = np.random.default_rng(0).standard_normal((600, 60)).astype(np.float32)
    output = SubsetOutput(np.arange(600), {"many": logits}, np.zeros((600, 2)))
    records = [Record(row=row, id=str(row), labels={"many": names[row % 60]}) for row in range(600)]
    (data,) = confusion_plots({"text": output}, records, config_of({"many": names})).values()
    assert len(data) < 300_000
    assert image_of(data).width == 990


def test_heads_without_labels_have_no_plots() -> None:
    outputs, _ = sample()
    records = [Record(row=row, id=str(row)) for row in range(4)]
    assert confusion_plots(outputs, records, config_of(HEADS)) == {}
    assert reliability_plot(outputs, records, config_of(HEADS)) == b""


def test_calibration_and_learning_have_a_panel_for_each_head_and_stage() -> None:
    assert image_of(reliability_plot(*sample(), config_of(HEADS))).format == "PNG"
    entry = {"epoch": 1, "loss": 1.0, "seconds": 1.0, "$a": 0.5}
    history = [{"stage": stage, **entry} for stage in ("image", "text", "fusion", "joint")]
    # Four stages stand two by two, one alone.
    assert image_of(learning_plot(history)).height > 1.5 * image_of(learning_plot(history[:1])).height
