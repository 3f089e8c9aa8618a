"""Explanations of networks small enough to reckon by hand, and of both engines."""

import math
from typing import Any

import numpy as np
import pytest

from models.config import ClassificationHead, NetworkConfig, RegressionHead
from models.explainer import Explainer, Explanation, Weighed
from models.occlusion import DETAIL, Detail
from models.predictor import Prediction, Predictor, load_predictor
from models.sample import Sample
from tests.fakes import SIDE_PX, make_predictor
from tests.four import four_checkpoint
from tests.gauges import readings
from tests.sounds import spoken
from tests.tiny import picture, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble

RED = np.full((SIDE_PX, SIDE_PX, 3), (255, 0, 0), np.uint8)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def explain(predictor: Predictor, sample: Sample, detail: Detail = DETAIL) -> Explanation:
    explainer = Explainer(predictor, detail)
    [original] = explainer.originals([explainer.prepare(sample)])
    falls = explainer.fall([(original, variation) for variation in explainer.variations(original)])
    return explainer.explanation(original, falls)


def colour(sample: Sample, detail: Detail = DETAIL) -> Weighed:
    """What the fake model's head `colour` (blue, red) rests on; logits are five times what there is of each."""
    [found] = [head for head in explain(make_predictor(), sample, detail).heads if head.quantity.head == "colour"]
    return found


def test_what_either_alone_would_say_is_shared() -> None:
    found = colour(Sample(image=RED, text="red"))
    assert found.quantity == ("colour", 1, 0.5)
    share = (sigmoid(5) - 0.5) / 2
    assert found.contributions == pytest.approx({"image": share, "text": share})


def test_what_speaks_against_the_label_is_negative() -> None:
    found = colour(Sample(image=RED, text="blue"))  # a draw, which goes to the first label: blue
    assert found.quantity.label == 0
    assert found.contributions == pytest.approx({"image": 0.5 - sigmoid(5), "text": sigmoid(5) - 0.5})


def test_the_map_shows_where_the_evidence_is() -> None:
    image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    image[:8, :8] = (255, 0, 0)  # what a window of 12 x 12 hides becomes the mean, a quarter of the red: 64
    found = colour(Sample(image=image), Detail(cells=4))
    assert found.cells is not None
    whole = sigmoid(5 / 4)
    dim = 144 * 64 / 255  # of 256 pixels, those of the window
    hidden = sigmoid(5 * dim / 256)
    reddened = sigmoid(5 * (48 + dim) / 256)  # the lower right window leaves 48 of 64 red ones, and dyes others
    assert found.cells[0, 0] == pytest.approx(whole - hidden)
    assert found.cells[3, 3] == pytest.approx(whole - reddened)
    assert found.cells.argmax() == 0
    assert found.words is None


def test_an_image_of_one_colour_has_no_place_that_counts() -> None:
    found = colour(Sample(image=RED, text="red"))
    assert found.cells is not None
    assert found.cells.shape == (7, 7)
    np.testing.assert_allclose(found.cells, 0, atol=1e-6)


def test_a_word_weighs_what_its_text_loses_without_it() -> None:
    found = colour(Sample(text="red star"))
    assert found.words is not None
    assert found.words == pytest.approx([sigmoid(2.5) - 0.5, sigmoid(2.5) - sigmoid(5)])


def test_beside_an_image_a_word_weighs_the_mean_over_both_orders() -> None:
    found = colour(Sample(image=RED, text="red star"))
    assert found.words is not None
    # Alone, the text without "red" says 0.5; beside the image, half of the image's red is left.
    alone = sigmoid(2.5) - 0.5
    beside = sigmoid(5 * (1 + 0.5) / 2) - sigmoid(5 / 2)
    assert found.words[0] == pytest.approx((alone + beside) / 2)


def test_the_only_word_is_the_whole_text() -> None:
    found = colour(Sample(text="red"))
    assert found.words == pytest.approx([found.contributions["text"]])


def test_more_words_than_the_limit_are_left_out_together() -> None:
    explanation = explain(make_predictor(), Sample(text="red star blue star"), Detail(words=2))
    assert [(word.start, word.end) for word in explanation.subject.words] == [(0, 8), (9, 18)]
    assert all(head.words is not None and len(head.words) == 2 for head in explanation.heads)


def test_zero_switches_maps_and_words_off() -> None:
    found = colour(Sample(image=RED, text="red"), Detail(cells=0, words=0))
    assert (found.cells, found.words) == (None, None)
    assert len(found.contributions) == 2


def test_variations_of_several_items_in_one_pass_are_those_of_each_alone() -> None:
    predictor = make_predictor()
    samples = [Sample(image=RED, text="red star"), Sample(text="blue red"), Sample(image=picture(1, 16, 16))]
    explainer = Explainer(predictor, Detail())
    originals = explainer.originals([explainer.prepare(sample) for sample in samples])
    works = [(original, one) for original in originals for one in explainer.variations(original)]
    mixed = works[::2] + works[1::2]
    together = dict(zip(map(id, mixed), explainer.fall(mixed), strict=True))
    for work in works:
        np.testing.assert_allclose(together[id(work)], explainer.fall([work])[0], atol=1e-6)


HEADS: dict[str, Any] = {
    "classes": {
        "shape": ClassificationHead(labels=("circle", "square", "star")),
        "tags": ClassificationHead(labels=("warm", "loud"), multi_label=True),
    },
    "targets": {"price": RegressionHead(mean=40.0, std=8.0, unit="EUR")},
}


@pytest.fixture(scope="module", params=["gated", "cross_attention"])
def checkpoint(request: pytest.FixtureRequest) -> Any:
    config = NetworkConfig.tiny().model_copy(update={"fusion": request.param, **HEADS})
    network = tiny_network(config)
    for parameter in network.fusion.parameters():  # a cross-attention begins as one that looks at no token
        parameter.data.normal_(std=0.5)
    columns = {
        "image": "image",
        "text": "name",
        "labels": ["shape"],
        "multi_labels": ["tags"],
        "targets": ["price"],
    }
    recipe = tiny_recipe(network=config, data={"columns": columns})
    return assemble.in_memory_checkpoint(network, tiny_tokenizer(), recipe, {})


def read(prediction: Prediction, found: Weighed) -> float:
    head, label, _ = found.quantity
    return prediction.values[head].value if label is None else float(prediction.scores[head][label])


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_contributions_are_those_of_predictions_from_each_subset(checkpoint: Any, engine: Any) -> None:
    predictor = load_predictor(checkpoint, engine=engine)
    sample = Sample(image=picture(3, 40, 24), text="a red circle")
    whole, image, text = predictor.predict(
        [predictor.prepare(one) for one in (sample, Sample(image=sample.image), Sample(text=sample.text))]
    )
    explanation = explain(predictor, sample)
    assert [head.quantity.head for head in explanation.heads] == ["shape", "tags", "price"]
    assert [head.quantity.base for head in explanation.heads] == pytest.approx([1 / 3, 0.5, 40.0])
    for found in explanation.heads:
        base = found.quantity.base
        both, one, other = (read(prediction, found) for prediction in (whole, image, text))
        expected = {"image": (one - base + both - other) / 2, "text": (other - base + both - one) / 2}
        assert found.contributions == pytest.approx(expected, abs=1e-4)
        assert sum(found.contributions.values()) == pytest.approx(both - base, abs=1e-4)


def test_four_modalities_sum_to_the_whole() -> None:
    predictor = load_predictor(four_checkpoint(), engine="onnx")
    sample = Sample(
        image=picture(2), text="a red circle", audio=spoken("a b"), sensors=readings(speed=3.0, turn=0.25)
    )
    [whole] = predictor.predict([predictor.prepare(sample)])
    for found in explain(predictor, sample).heads:
        assert set(found.contributions) == {"image", "text", "audio", "sensors"}
        whole_of_it = read(whole, found) - found.quantity.base
        assert sum(found.contributions.values()) == pytest.approx(whole_of_it, abs=1e-4)


def test_both_engines_explain_alike(checkpoint: Any) -> None:
    sample = Sample(image=picture(5, 30, 50), text="one large red star")
    onnx, torch = (explain(load_predictor(checkpoint, engine=name), sample) for name in ("onnx", "torch"))
    for left, right in zip(onnx.heads, torch.heads, strict=True):
        assert left.cells is not None
        assert np.abs(left.cells).max() > 1e-4  # or the map would say nothing, and equal anything
        np.testing.assert_allclose(left.cells, right.cells, atol=1e-3)
        np.testing.assert_allclose(left.words, right.words, atol=1e-3)
