from pathlib import Path

import numpy as np
import pytest

from models.calibration import Calibration
from models.config import RegressionHead
from models.errors import ManifestError
from models.manifest import Record
from models.predictor import Predictor, load_predictor
from tests.tiny import TEXTS, Recorder, image_file, picture, tiny_checkpoint
from training.measured import Measured
from training.measures.calibrate import fit_calibration
from training.measures.evaluate import measure
from training.measures.outputs import SubsetOutput
from training.measures.passes import run_subsets
from training.objective_config import Unsaid

CONFIG = tiny_checkpoint().config


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load_predictor(tiny_checkpoint(), engine="onnx")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Twelve pairs; the third lacks its image and the fourth its text."""
    folder = tmp_path_factory.mktemp("records")
    found = []
    for row in range(12):
        (folder / f"{row}.png").write_bytes(image_file(picture(row)))
        found.append(
            Record(
                row=row,
                id=str(row),
                image=None if row == 2 else folder / f"{row}.png",
                texts=() if row == 3 else (TEXTS[row % 6],),
                labels={"shape": ("circle", "square", "star")[row % 3], "colour": ("blue", "red")[row % 2]},
            )
        )
    return found


def test_each_subset_is_measured_on_the_rows_that_have_it(predictor: Predictor, records: list[Record]) -> None:
    outputs = run_subsets(predictor, records, Recorder())
    assert {name: len(output.rows) for name, output in outputs.items()} == {
        "image": 11,
        "text": 11,
        "image+text": 10,
    }
    assert outputs["image"].rows.tolist() == [0, 1, *range(3, 12)]


def test_the_subset_s_output_is_that_of_the_item_without_the_rest(
    predictor: Predictor, records: list[Record]
) -> None:
    outputs = run_subsets(predictor, records, Recorder())
    text = Record(row=0, id="0", texts=records[5].texts)
    alone = run_subsets(predictor, [text], Recorder())
    assert set(alone) == {"text"}
    row = outputs["text"].rows.tolist().index(5)
    np.testing.assert_allclose(outputs["text"].embedding_nE[row], alone["text"].embedding_nE[0], atol=1e-5)
    np.testing.assert_allclose(outputs["text"].logits["shape"][row], alone["text"].logits["shape"][0], atol=1e-5)


def test_every_image_that_cannot_be_read_is_told_with_its_row_and_file(
    predictor: Predictor, records: list[Record], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_text("none")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first, last = (
        Record(row=row, id=str(row), image=tmp_path / name) for row, name in ((7, "a.png"), (900, "b.png"))
    )
    rows = [*records[:3], first, *records, last]  # in different batches
    recorder = Recorder()
    with pytest.raises(ManifestError, match=r"^2 fault") as found:
        run_subsets(predictor, rows, recorder, manifest="m.csv")
    assert recorder.units == len(rows)
    assert [fault.split(": ")[:2] for fault in found.value.faults] == [
        ["m.csv:7", "a.png"],
        ["m.csv:900", "b.png"],
    ]
    assert found.value.faults[0].startswith("m.csv:7: a.png: not an image")


def test_figures_have_the_contract_s_shape(predictor: Predictor, records: list[Record]) -> None:
    figures = measure(run_subsets(predictor, records, Recorder()), records, CONFIG)
    assert set(figures) == {"image", "text", "image+text"}
    assert set(figures["image"]) == {"shape", "colour"}
    own = {"accuracy", "standard_error", "count", "ece", "ece_floor", "same_label"}
    assert set(figures["image"]["shape"]) == own
    assert set(figures["image"]["shape"]["same_label"]) == {"map", "ndcg@10", "queries", "gallery"}
    retrieval = figures["image+text"]["retrieval"]
    assert set(retrieval) == {"text_to_image", "image_to_text"}
    ranks = {"r@1", "r@5", "r@10", "ndcg@10", "median_rank", "queries", "gallery"}
    assert set(retrieval["text_to_image"]) == set(retrieval["image_to_text"]) == ranks
    assert retrieval["text_to_image"]["gallery"] == 10


def output_of(logits: list[list[float]], head: str = "colour") -> dict[str, SubsetOutput]:
    rows = np.arange(len(logits))
    return {"text": SubsetOutput(rows, {head: np.array(logits, dtype=np.float32)}, np.zeros((len(logits), 2)))}


def reds(*labels: str | None) -> list[Record]:
    return [Record(row=i, id=str(i), labels={"colour": label} if label else {}) for i, label in enumerate(labels)]


def test_the_temperature_makes_the_labels_likeliest() -> None:
    # Right three times in four with odds of e^4: the temperature makes them 3 : 1, so 4 / ln 3 = 3.64.
    outputs = output_of([[0.0, 4.0]] * 4)
    fitted = fit_calibration(outputs, reds("red", "red", "red", "blue"), CONFIG)
    assert fitted.temperatures["colour"]["text"] == pytest.approx(
        4 / np.log(3), rel=0.02
    )  # the grid's step is 2 %
    shares = fitted.probabilities("colour", "text", np.array([0.0, 4.0], dtype=np.float32))
    assert shares[1] == pytest.approx(0.75, abs=0.01)


def test_no_labels_fit_no_temperature() -> None:
    assert fit_calibration(output_of([[0.0, 4.0]] * 2), reds(None, None), CONFIG) == Calibration()


def test_prediction_sets_are_fitted_on_the_calibrated_scores_of_the_rows_with_a_cell() -> None:
    # As above, the temperature makes it 3 : 1; two more rows have no cell, and a label that nobody knows.
    outputs = output_of([[0.0, 4.0]] * 6)
    fitted = fit_calibration(outputs, reds("red", "red", "red", "blue", None, "green"), CONFIG)
    conformity = fitted.conformity["colour"]["text"]
    assert conformity.num_rows == 5
    assert conformity.probabilities == (0.0, pytest.approx(0.25, abs=0.01))


def test_coverage_is_measured_with_the_sets_that_were_fitted() -> None:
    outputs, records = output_of([[0.0, 4.0]] * 20), reds(*["red"] * 18, "blue", "blue")
    config = CONFIG.model_copy(update={"calibration": fit_calibration(outputs, records, CONFIG)})
    # 0.9 of 21 is rank 19: the second blue, so both labels are in every set.
    assert measure(outputs, records, config)["text"]["colour"]["coverage_90"] == {"covered": 1, "mean_size": 2}
    # With one blue less it is rank 18 of 19 (0.9 of 20), which is a red: its label alone is the set.
    fewer = output_of([[0.0, 4.0]] * 19)
    config = CONFIG.model_copy(update={"calibration": fit_calibration(fewer, records[:19], CONFIG)})
    assert measure(outputs, records, config)["text"]["colour"]["coverage_90"] == {"covered": 0.9, "mean_size": 1}


def test_a_head_of_several_labels_has_no_coverage() -> None:
    several = CONFIG.network.classes["colour"].model_copy(update={"multi_label": True})
    network = CONFIG.network.model_copy(update={"classes": {**CONFIG.network.classes, "colour": several}})
    config = CONFIG.model_copy(update={"network": network})
    outputs = output_of([[-4.0, 4.0]] * 4)
    sets = (("red",), ("red",), ("red", "blue"), ("blue",))
    records = [Record(row=i, id=str(i), label_sets={"colour": found}) for i, found in enumerate(sets)]
    fitted = fit_calibration(outputs, [*records], config)
    # blue holds in 2 of 4 and red in 3, so the signs are right in 5 cells of 8: t = 4 / ln(5 / 3).
    assert fitted.temperatures["colour"]["text"] == pytest.approx(5.0)  # the grid's end: 7.8 is beyond
    assert fitted.conformity == {}
    figures = measure(outputs, records, config.model_copy(update={"calibration": fitted}))
    assert set(figures["text"]["colour"]) == {"map", "f1", "count"}


def test_the_temperature_of_several_labels_makes_each_likeliest() -> None:
    several = CONFIG.network.classes["colour"].model_copy(update={"multi_label": True})
    network = CONFIG.network.model_copy(update={"classes": {"colour": several}})
    outputs = output_of([[-4.0, 4.0]] * 5)
    sets: list[tuple[str, ...] | None] = [("red",), ("red",), ("red",), ("blue",), None]
    records = [
        Record(row=i, id=str(i), label_sets={} if found is None else {"colour": found})
        for i, found in enumerate(sets)
    ]
    fitted = fit_calibration(outputs, records, CONFIG.model_copy(update={"network": network}))
    # Right in 6 cells of 8: 4 / t is the logarithm of odds of 3 : 1.
    assert fitted.temperatures["colour"]["text"] == pytest.approx(4 / np.log(3), rel=0.02)


PRICED = CONFIG.model_copy(
    update={
        "network": CONFIG.network.model_copy(
            update={"classes": {}, "targets": {"price": RegressionHead(mean=10, std=2, uncertainty=True)}}
        )
    }
)


def priced(values: list[float], log_variances: list[float] | None) -> dict[str, SubsetOutput]:
    found = {"price": np.array(values, dtype=np.float32)}
    variances = {} if log_variances is None else {"price": np.array(log_variances, dtype=np.float32)}
    vectors = np.zeros((len(values), 2), dtype=np.float32)
    return {"text": SubsetOutput(np.arange(len(values)), {}, vectors, None, found, variances)}


def prices(*values: float | None) -> list[Record]:
    return [
        Record(row=i, id=str(i), targets={} if value is None else {"price": value})
        for i, value in enumerate(values)
    ]


def test_numbers_are_measured_in_their_own_unit() -> None:
    # Predicted 10, 12 and 14 of 10, 14 and 12; the fourth row has no number.
    figures = measure(priced([0, 1, 2, 5], None), prices(10, 14, 12, None), PRICED)["text"]["price"]
    assert figures == pytest.approx(
        {"mae": 4 / 3, "rmse": np.sqrt(8 / 3), "r2": 1 - (8 / 3) / (8 / 3), "count": 3}, abs=1e-9
    )


def test_a_head_without_any_number_has_no_figures() -> None:
    assert measure(priced([0.0], [0.0]), prices(None), PRICED) == {"text": {}}
    assert fit_calibration(priced([0.0], [0.0]), prices(None), PRICED) == Calibration()


def test_the_spread_makes_the_errors_likeliest_and_the_intervals_are_measured_with_it() -> None:
    # Deviations of 2 and 4 in the head's unit, errors of 4 and 8: twice as much.
    outputs, records = priced([0, 0], [0, 2 * np.log(2)]), prices(14, 2)
    bare = measure(outputs, records, PRICED)["text"]["price"]["coverage_90"]
    assert bare["covered"] == 0  # 1.64 deviations are 3.3 and 6.6
    assert bare["mean_width"] == pytest.approx(2 * 1.6449 * 3)
    fitted = fit_calibration(outputs, records, PRICED)
    assert fitted.spreads == {"price": {"text": pytest.approx(2.0)}}
    figures = measure(outputs, records, PRICED.model_copy(update={"calibration": fitted}))["text"]["price"]
    assert figures["coverage_90"]["covered"] == 1
    assert figures["coverage_90"]["mean_width"] == pytest.approx(2 * 1.6449 * 6)


def test_rows_with_an_empty_cell_are_not_counted_and_unknown_labels_are_wrong() -> None:
    outputs = output_of([[0.0, 4.0]] * 4)
    figures = measure(outputs, reds("red", None, "green", "red"), CONFIG)
    assert figures["text"]["colour"]["count"] == 3
    assert figures["text"]["colour"]["accuracy"] == pytest.approx(2 / 3)


def test_each_subset_s_own_vectors_say_whether_equal_labels_are_near() -> None:
    # By the text's vectors the reds are one another's nearest; by the image's each has the blue one between.
    apart, together = np.array([[1, 0], [0, 1], [0.6, 0.8]]), np.array([[1, 0], [1, 0], [0, 1]])
    logits = {"colour": np.zeros((3, 2), dtype=np.float32)}
    outputs = {
        name: SubsetOutput(np.arange(3), logits, found.astype(np.float32))
        for name, found in (("image", apart), ("text", together))
    }
    figures = measure(outputs, reds("red", "red", "blue"), CONFIG)
    assert figures["text"]["colour"]["same_label"]["map"] == 1
    assert figures["image"]["colour"]["same_label"]["map"] == 1 / 2
    apart_from_them = measure(outputs, reds("red", "red", "blue"), CONFIG, measured=Measured(neighbours=False))
    assert all("same_label" not in heads["colour"] for heads in apart_from_them.values())


def test_a_head_without_any_label_has_no_figures() -> None:
    assert measure(output_of([[0.0, 4.0]]), reds(None), CONFIG) == {"text": {}}


def test_equal_texts_are_equally_right_in_retrieval() -> None:
    vectors = np.eye(3, dtype=np.float32)
    records = [Record(row=i, id=str(i), texts=(text,)) for i, text in enumerate(("a", "a", "b"))]
    images = vectors[[1, 0, 2]]  # the images of the two equal texts are exchanged
    outputs = {
        name: SubsetOutput(np.arange(3), {}, found)
        for name, found in (("text", vectors), ("image", images), ("image+text", vectors))
    }
    assert measure(outputs, records, CONFIG)["image+text"]["retrieval"]["text_to_image"]["r@1"] == 1
    assert "retrieval" not in measure(outputs, records, CONFIG, measured=Measured(matching=False))["image+text"]


def test_a_head_that_is_decided_where_nothing_is_said_has_no_figures_there() -> None:
    unsaid = Unsaid(without=("text",), means={"colour": "red"})
    logits = {"colour": np.array([[0.0, 4.0]], dtype=np.float32)}
    outputs = {
        name: SubsetOutput(np.arange(1), logits, np.eye(1, dtype=np.float32)) for name in ("image", "image+text")
    }
    figures = measure(outputs, reds("red"), CONFIG, measured=Measured(matching=False, unsaid=unsaid))
    assert figures["image"] == {}
    assert figures["image+text"]["colour"]["accuracy"] == 1
