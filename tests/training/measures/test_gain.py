import numpy as np

from models.config import NetworkConfig
from models.manifest import Record
from tests.tiny import tiny_checkpoint
from training.measured import Measured
from training.measures.gain import fusion_gain
from training.measures.outputs import SubsetOutput
from training.objective_config import Unsaid

CONFIG = tiny_checkpoint().config
LABELS = ("red", "red", "blue", "blue")
RECORDS = [Record(row=i, id=str(i), texts=(f"text {i}",), labels={"colour": LABELS[i]}) for i in range(4)]
EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def output(
    said: str, vectors: tuple[tuple[float, float], ...] = (EAST,) * 4, rows: tuple[int, ...] = (0, 1, 2, 3)
) -> SubsetOutput:
    """Of the head `colour`, which says red for an r and blue for a b."""
    logits = np.array([[0.0, 1.0] if letter == "r" else [1.0, 0.0] for letter in said], dtype=np.float32)
    return SubsetOutput(np.array(rows), {"colour": logits}, np.array(vectors, dtype=np.float32))


def test_the_gain_is_over_the_best_modality() -> None:
    outputs = {"image": output("rbrr"), "text": output("rrbr"), "image+text": output("rrbb")}
    gain = fusion_gain(outputs, RECORDS, CONFIG)["accuracy"]["colour"]
    assert (gain["best"], gain["rows"]) == ("text", 4)
    assert (gain["fused"], gain["alone"], gain["difference"]) == (1, 0.75, 0.25)
    # One row in four differs. Drawn four times, it is absent with a chance of 0.32, and 3 times or more with 0.05.
    assert (gain["low"], gain["high"]) == (0, 0.75)


def test_a_fusion_that_errs_where_a_modality_does_not_has_lost() -> None:
    outputs = {"image": output("rrbb"), "text": output("bbbb"), "image+text": output("bbrr")}
    gain = fusion_gain(outputs, RECORDS, CONFIG)["accuracy"]["colour"]
    assert (gain["best"], gain["difference"], gain["low"], gain["high"]) == ("image", -1, -1, -1)


def test_modalities_are_compared_on_the_rows_that_have_both() -> None:
    outputs = {"image": output("bbbb"), "text": output("bb", (EAST,) * 2, (1, 3))}
    outputs["image+text"] = output("rb", (EAST,) * 2, (1, 3))
    gain = fusion_gain(outputs, RECORDS, CONFIG)["accuracy"]["colour"]
    # Of rows 1 (red) and 3 (blue), each modality has the second; of all four rows the image would have two.
    assert (gain["rows"], gain["fused"], gain["alone"]) == (2, 1, 0.5)


def test_an_empty_cell_is_not_compared() -> None:
    records = [*RECORDS[:3], Record(row=3, id="3", texts=("text 3",))]
    outputs = {"image": output("bbbb"), "text": output("bbbb"), "image+text": output("rrbr")}
    gain = fusion_gain(outputs, records, CONFIG)
    assert (gain["accuracy"]["colour"]["rows"], gain["accuracy"]["colour"]["fused"]) == (3, 1)
    assert gain["neighbours"]["colour"]["rows"] == 3


def test_neighbours_of_the_fused_vectors_against_a_modality_s() -> None:
    colours = ["red"] * 6 + ["blue"] * 6
    records = [Record(row=i, id=str(i), texts=(str(i),), labels={"colour": c}) for i, c in enumerate(colours)]
    rows, said = tuple(range(12)), "r" * 6 + "b" * 6
    outputs = {name: output(said, (EAST,) * 12, rows) for name in ("image", "text")}
    outputs["image+text"] = output(said, (EAST,) * 6 + (NORTH,) * 6, rows)
    gain = fusion_gain(outputs, records, CONFIG)["neighbours"]["colour"]
    # Where all vectors are equal, everybody's five neighbours are the first rows, which are red.
    assert (gain["fused"], gain["alone"], gain["difference"]) == (1, 0.5, 0.5)
    without = fusion_gain(outputs, records, CONFIG, measured=Measured(neighbours=False))
    assert without["neighbours"] == {}
    assert set(without["accuracy"]) == {"colour"}


def test_a_head_that_a_modality_cannot_get_wrong_is_not_compared() -> None:
    outputs = {"image": output("rrrr"), "text": output("rrbb"), "image+text": output("rrbb")}
    unsaid = Unsaid(without=("text",), means={"colour": "red"})
    assert fusion_gain(outputs, RECORDS, CONFIG, measured=Measured(unsaid=unsaid)) == {
        "accuracy": {},
        "neighbours": {},
    }


def test_without_rows_that_have_everything_there_is_nothing_to_compare() -> None:
    assert fusion_gain({"image": output("rrbb")}, RECORDS, CONFIG) == {"accuracy": {}, "neighbours": {}}


def test_a_model_of_one_modality_fuses_nothing() -> None:
    network = NetworkConfig.model_validate({**NetworkConfig.tiny().model_dump(), "text": None})
    alone = CONFIG.model_copy(update={"network": network})
    assert fusion_gain({"image": output("rrbb")}, RECORDS, alone) == {"accuracy": {}, "neighbours": {}}
