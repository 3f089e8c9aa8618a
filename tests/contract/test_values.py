"""The key `values`: numbers in the answers of models that have heads for them, and in no others."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from app.served import Model
from app.service import Service
from app.settings import Settings
from models.calibration import Calibration
from models.config import NetworkConfig, RegressionHead
from models.engine import Encoded, Output
from models.predictor import Predictor
from tests.fakes import FakeEngine, make_predictor, serving

TOP_LEVEL = {"model", "modalities_used", "classes", "matches", "request_id"}
TARGETS = {
    "price": RegressionHead(mean=40, std=10, unit="EUR", uncertainty=True),
    "weight": RegressionHead(mean=1, std=0.5),
}


class PricingEngine(FakeEngine):
    """Says 1.5 of every price, with a variance of 1/4, and -1 of every weight, all in deviations."""

    def fuse(self, vectors_BMD: Encoded, present_BM: np.ndarray) -> Output:
        output = super().fuse(vectors_BMD, present_BM)
        ones_B = np.ones(len(present_BM), np.float32)
        return Output(
            output.logits,
            output.embedding_BE,
            {"price": 1.5 * ones_B, "weight": -ones_B},
            {"price": np.log(0.25) * ones_B},
        )


def pricing(name: str, *, classes: bool = True, calibration: Calibration | None = None) -> Model:
    predictor = make_predictor(name, engine=PricingEngine(), calibration=calibration)
    changes = {"targets": TARGETS} | ({} if classes else {"classes": {}})
    network = NetworkConfig.model_copy(predictor.config.network, update=changes)
    config = predictor.config.model_copy(update={"network": network})
    return Model(Predictor(config, predictor.preprocessors, predictor.engine))


@pytest.fixture(scope="module")
def pricer() -> Iterator[httpx.Client]:
    spread = Calibration(spreads={"price": {"text": 2.0}})

    def load(settings: Settings) -> Service:
        models = [pricing("goods", calibration=spread), Model(make_predictor("plain"))]
        return Service(models, settings)

    with serving(Settings(num_workers=1), load) as client:
        yield client


def test_a_number_has_its_unit_and_a_deviation_where_the_head_predicts_one(pricer: httpx.Client) -> None:
    body = pricer.post("/predict", json={"text": "red"}).json()
    assert set(body) == TOP_LEVEL | {"values"}
    assert body["values"] == {
        # 40 + 1.5 * 10, and 2 * sqrt(1/4) * 10: calibrated for texts
        "price": {"value": 55, "std": 10, "unit": "EUR"},
        "weight": {"value": 0.5},
    }


def test_a_deviation_is_calibrated_for_the_modalities_that_were_given(pricer: httpx.Client) -> None:
    from tests.contract.test_coverage import RED64

    body = pricer.post("/predict", json={"text": "red", "image": RED64}).json()
    assert body["values"]["price"]["std"] == 5


def test_the_items_of_a_batch_have_theirs(pricer: httpx.Client) -> None:
    results = pricer.post("/predict/batch", json={"items": [{"text": "red"}, {"text": "star"}]}).json()["results"]
    assert [set(result) for result in results] == [TOP_LEVEL | {"values", "status"}] * 2
    assert results[0]["values"]["price"]["value"] == 55


def test_other_models_answer_with_just_their_keys(pricer: httpx.Client, client: httpx.Client) -> None:
    assert set(pricer.post("/models/plain/predict", json={"text": "red"}).json()) == TOP_LEVEL
    assert set(client.post("/predict", json={"text": "red"}).json()) == TOP_LEVEL


def test_models_are_described_with_their_numbers(pricer: httpx.Client) -> None:
    goods, plain = pricer.get("/models").json()["models"]
    assert goods["values"] == {
        "price": {"mean": 40, "std": 10, "uncertainty": True, "unit": "EUR"},
        "weight": {"mean": 1, "std": 0.5, "uncertainty": False},
    }
    assert set(goods) == set(plain) | {"values"}


def test_the_document_has_the_key_and_does_not_require_it(pricer: httpx.Client) -> None:
    schemas = pricer.get("/openapi.json").json()["components"]["schemas"]
    assert "values" in schemas["PredictResponse"]["properties"]
    assert "values" not in schemas["PredictResponse"]["required"]
    assert schemas["PredictedValue"]["required"] == ["value"]
