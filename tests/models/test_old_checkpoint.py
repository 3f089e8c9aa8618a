"""A checkpoint that an earlier version wrote (by tests/data/make_checkpoint.py) still says what it said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoint import read_checkpoint
from models.decode import decode_image
from models.errors import InputError
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from retrieval.gallery import Query
from retrieval.seed_gallery import read_seed

DATA = Path(__file__).parent.parent / "data"
OLD = DATA / "old" / "1"
INPUTS = DATA / "inputs"
EXPECTED = DATA / "expected.json"


def answer(predictor: Predictor, item: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint says of one of the inputs: scores by label, an embedding, and the nearest items."""
    config = predictor.config
    assert config.preprocessing.image is not None
    image = None
    if item["image"] is not None:
        image = decode_image((INPUTS / item["image"]).read_bytes(), side_px=config.preprocessing.image.side_px)
    (prediction,) = predictor.predict([predictor.prepare(Sample(image=image, text=item["text"]))])
    matches = read_seed(OLD / "gallery").search(prediction.embedding_E, Query(top_k=3))
    return {
        "scores": {
            head: dict(zip(config.network.classes[head].labels, map(float, scores), strict=True))
            for head, scores in prediction.scores.items()
        },
        "embedding": prediction.embedding_E.tolist(),
        "matches": {match.item.id: match.score for match in matches},
    }


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_an_old_checkpoint_loads_and_says_what_it_said(engine: Any) -> None:
    predictor = load_predictor(read_checkpoint(OLD), engine=engine)
    expected = json.loads(EXPECTED.read_text())
    assert len(expected) == 3
    for item in expected:
        found = answer(predictor, item)
        for head, scores in item["scores"].items():
            assert found["scores"][head] == pytest.approx(scores, abs=1e-4)
        np.testing.assert_allclose(found["embedding"], item["embedding"], rtol=0, atol=1e-4)
        assert found["matches"] == pytest.approx(item["matches"], abs=1e-4)


def test_an_old_checkpoint_has_no_prediction_sets_and_says_so() -> None:
    predictor = load_predictor(read_checkpoint(OLD), engine="onnx")
    assert not predictor.config.calibration.conformity
    (prediction,) = predictor.predict([predictor.prepare(Sample(text="cactus"))])
    with pytest.raises(
        InputError, match=r"coverage: this model has no .* 'category' from text\..* train the model"
    ):
        predictor.check_coverage(["text"])
    with pytest.raises(InputError, match="coverage: this model has no"):
        predictor.prediction_sets(prediction, 0.9)


def test_the_old_checkpoint_is_small() -> None:
    assert sum(path.stat().st_size for path in OLD.rglob("*") if path.is_file()) < 1_000_000
