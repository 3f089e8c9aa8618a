import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import Batch, Example
from models.calibration import Calibration, Conformity
from models.engine import EncodedArrays
from models.errors import EngineError, InputError
from models.predictor import Prediction, Predictor, load_predictor
from models.sample import Sample
from tests.tiny import TEXTS, picture, tiny_checkpoint

PAIRS = (("image", "text"), ("image",), ("text",))


def sample(seed: int, modalities: Sequence[str]) -> Sample:
    """Sizes and lengths differ with the seed, so that batches are padded."""
    return Sample(
        image=picture(seed, 20 + 9 * seed % 40, 24) if "image" in modalities else None,
        text=TEXTS[seed % 6] * (1 + seed % 3) if "text" in modalities else None,
    )


@pytest.fixture(scope="module")
def onnx() -> Predictor:
    return load_predictor(tiny_checkpoint(), engine="onnx")


@pytest.fixture(scope="module")
def torch() -> Predictor:
    return load_predictor(tiny_checkpoint(), engine="torch")


def assert_close(left: Prediction, right: Prediction, tolerance: float) -> None:
    assert left.modalities_used == right.modalities_used
    for head in left.scores:
        np.testing.assert_allclose(left.scores[head], right.scores[head], rtol=0, atol=tolerance)
    np.testing.assert_allclose(left.embedding_E, right.embedding_E, rtol=0, atol=tolerance)


def mixed_examples(predictor: Predictor, count: int) -> list[Example]:
    return [predictor.prepare(sample(seed, PAIRS[seed % 3])) for seed in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_both_engines_give_the_same_for_mixed_subsets_and_any_batch_size(
    onnx: Predictor, torch: Predictor, count: int
) -> None:
    examples = mixed_examples(onnx, count)
    for left, right in zip(onnx.predict(examples), torch.predict(examples), strict=True):
        assert_close(left, right, 1e-3)


def test_both_engines_give_the_same_raw_arrays(onnx: Predictor, torch: Predictor) -> None:
    batch = onnx.preprocessors.collate(mixed_examples(onnx, 5))
    left, right = onnx.engine.encode(batch), torch.engine.encode(batch)
    assert left.vectors_BMD.dtype == right.vectors_BMD.dtype == np.float32
    assert not left.vectors_BMD[~batch.present_BM].any()
    np.testing.assert_allclose(left.vectors_BMD, right.vectors_BMD, rtol=0, atol=1e-3)
    one, other = onnx.engine.fuse(left, batch.present_BM), torch.engine.fuse(left, batch.present_BM)
    assert list(one.logits) == list(other.logits) == ["shape", "colour"]
    for head in one.logits:
        assert one.logits[head].dtype == other.logits[head].dtype == np.float32
        np.testing.assert_allclose(one.logits[head], other.logits[head], rtol=0, atol=1e-3)
    np.testing.assert_allclose(one.embedding_BE, other.embedding_BE, rtol=0, atol=1e-3)


def test_scores_differ_between_items_and_between_subsets(onnx: Predictor) -> None:
    # Else the comparisons of this file would hold for an engine that ignores its input.
    predictions = onnx.predict(
        [onnx.prepare(sample(0, part)) for part in PAIRS] + [onnx.prepare(sample(1, PAIRS[0]))]
    )
    for index, one in enumerate(predictions):
        for other in predictions[:index]:
            assert np.abs(one.embedding_E - other.embedding_E).max() > 1e-2


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@settings(deadline=None, max_examples=25)
@given(items=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(PAIRS)), min_size=2, max_size=5))
def test_batched_scores_equal_single_scores(engine: str, items: list[tuple[int, tuple[str, ...]]]) -> None:
    predictor = predictor_of(engine)
    examples = [predictor.prepare(sample(seed, modalities)) for seed, modalities in items]
    for example, together in zip(examples, predictor.predict(examples), strict=True):
        assert_close(together, predictor.predict([example])[0], 1e-5)


PREDICTORS: dict[str, Predictor] = {}


def predictor_of(engine: Any) -> Predictor:
    if engine not in PREDICTORS:
        PREDICTORS[engine] = load_predictor(tiny_checkpoint(), engine=engine)
    return PREDICTORS[engine]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e20])
def test_an_absent_modality_s_contents_never_change_a_score(engine: str, garbage: float) -> None:
    predictor = predictor_of(engine)
    vectors = np.random.default_rng(0).standard_normal((3, 2, 16)).astype(np.float32)
    present = np.array([[True, False], [False, True], [True, True]])
    filled = vectors.copy()
    filled[~present] = garbage
    plain, other = (predictor.engine.fuse(EncodedArrays(part), present) for part in (vectors, filled))
    np.testing.assert_array_equal(plain.embedding_BE, other.embedding_BE)
    for head in plain.logits:
        np.testing.assert_array_equal(plain.logits[head], other.logits[head])


def test_scores_are_probabilities_and_embeddings_have_unit_norm(onnx: Predictor) -> None:
    for prediction in onnx.predict(mixed_examples(onnx, 3)):
        assert {head: scores.shape for head, scores in prediction.scores.items()} == {
            "shape": (3,),
            "colour": (2,),
        }
        for scores in prediction.scores.values():
            assert scores.min() >= 0
            assert scores.sum() == pytest.approx(1, abs=1e-6)
        assert np.linalg.norm(prediction.embedding_E) == pytest.approx(1, abs=1e-5)


def test_each_subset_has_the_temperature_that_was_fitted_for_it(onnx: Predictor) -> None:
    flat = Calibration(temperatures={"colour": {"text": 1e9}})
    config = onnx.config.model_copy(update={"calibration": flat})
    predictor = Predictor(config, onnx.preprocessors, onnx.engine)
    text, both = (sample(0, ("text",)), sample(0, ("image", "text")))
    flattened, untouched = predictor.predict([predictor.prepare(text), predictor.prepare(both)])
    np.testing.assert_allclose(flattened.scores["colour"], [0.5, 0.5], atol=1e-6)
    assert_close(untouched, onnx.predict([onnx.prepare(both)])[0], 1e-6)
    np.testing.assert_allclose(
        flattened.scores["shape"], onnx.predict([onnx.prepare(text)])[0].scores["shape"], 1e-5
    )


def test_a_head_of_several_labels_has_no_prediction_set(onnx: Predictor) -> None:
    def predictor_with(**several: bool) -> Predictor:
        classes = {
            name: head.model_copy(update={"multi_label": several[name]})
            for name, head in onnx.config.network.classes.items()
        }
        fitted = Calibration(conformity={"colour": {"text": Conformity.fit(np.array([0.0] * 9))}})
        network = onnx.config.network.model_copy(update={"classes": classes})
        config = onnx.config.model_copy(update={"network": network, "calibration": fitted})
        return Predictor(config, onnx.preprocessors, onnx.engine)

    (prediction,) = onnx.predict([onnx.prepare(sample(0, ("text",)))])
    some = predictor_with(shape=True, colour=False)
    sets = some.prediction_sets(prediction, 0.9)
    assert set(sets) == {"colour"}
    assert set(sets["colour"]) == {"blue", "red"}
    with pytest.raises(InputError, match=r"coverage: .* exactly one label .* Leave the field out"):
        predictor_with(shape=True, colour=True).prediction_sets(prediction, 0.9)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_gallery_vectors_are_the_fused_one_and_one_for_each_modality(engine: str) -> None:
    predictor = predictor_of(engine)
    samples = [sample(0, ("image", "text")), sample(1, ("text",)), sample(2, ("image",))]
    targets = predictor.embed_targets([predictor.prepare(item) for item in samples])
    assert list(targets) == ["fused", "image", "text"]

    def embedding(item: Sample) -> np.ndarray:
        return predictor.predict([predictor.prepare(item)])[0].embedding_E

    for row, item in enumerate(samples):
        np.testing.assert_allclose(targets["fused"][row], embedding(item), rtol=0, atol=1e-5)
    assert np.isnan(targets["image"][1]).all()
    assert np.isnan(targets["text"][2]).all()
    np.testing.assert_allclose(targets["text"][0], embedding(Sample(text=samples[0].text)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(targets["image"][0], embedding(Sample(image=samples[0].image)), rtol=0, atol=1e-5)


def test_gallery_vectors_of_a_modality_that_nobody_has_are_missing(onnx: Predictor) -> None:
    targets = onnx.embed_targets([onnx.prepare(sample(0, ("text",)))])
    assert np.isnan(targets["image"]).all()
    np.testing.assert_allclose(targets["fused"], targets["text"], atol=1e-6)


def test_the_engine_keeps_its_weights_when_the_checkpoint_is_gone() -> None:
    fresh = load_predictor(tiny_checkpoint(), engine="onnx")
    example = fresh.prepare(sample(0, ("image", "text")))
    before = fresh.predict([example])[0]
    gc.collect()
    trash = [np.full(size, np.nan, np.float32) for size in (400, 4_000, 40_000) for _ in range(50)]
    assert_close(fresh.predict([example])[0], before, 0)
    assert len(trash) == 150


def test_the_time_of_each_stage_is_told(onnx: Predictor) -> None:
    _, times = onnx.predict_timed([onnx.prepare(sample(0, ("text",)))])
    assert times.encode > 0
    assert times.fuse > 0


def test_auto_is_onnx_where_no_card_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert load_predictor(tiny_checkpoint(), engine="auto").engine.name == "onnx"


def test_torch_where_it_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name}", name="torch")

    monkeypatch.setattr("models.predictor.importlib.import_module", absent)
    with pytest.raises(EngineError, match=r"pip install -e '\.\[gpu\]'"):
        load_predictor(tiny_checkpoint(), engine="torch")


def test_a_batch_is_as_long_as_its_items(onnx: Predictor) -> None:
    batch = onnx.preprocessors.collate(mixed_examples(onnx, 4))
    assert isinstance(batch, Batch)
    assert len(batch) == 4
