"""The doctor times the service's own work."""

from pathlib import Path

import pytest

from app.doctor.bench import ServiceBench, request_items
from app.doctor.tuning import default_size
from app.served import Model
from app.settings import Settings
from models.predictor import load_predictor
from tests.app.doctor.fake_bench import ONE_BY_TWO
from tests.fakes import FakeEngine, make_gallery, make_predictor
from tests.four import four_checkpoint


def test_the_bench_measures_gallery_items_through_the_model(tmp_path: Path) -> None:
    fake = FakeEngine()
    predictor = make_predictor(engine=fake)
    model = Model(predictor, make_gallery(tmp_path, predictor))
    # Three of four items have an image, three a text; two have both.
    assert len(request_items(model)) == 2
    bench = ServiceBench(Settings(models="fashion@1"), model, 0.02)
    assert bench.kinds == ["images", "texts"]
    assert bench.cost("images")["image"] == 16 * 16
    assert "image" not in bench.cost("texts")
    fake.batches.clear()
    assert bench.rate(ONE_BY_TWO) > 0
    assert bench.seconds_alone(1) > 0
    assert set(fake.batches) == {1}
    fake.batches.clear()
    assert bench.batch_rate(ONE_BY_TWO, "texts", 5) > 0
    assert bench.fits(ONE_BY_TWO, "images", 5)
    assert set(fake.batches) == {5}


def test_recordings_are_measured_alone_and_with_the_rest(tmp_path: Path) -> None:
    predictor = make_predictor(engine=FakeEngine(), hears=True)
    model = Model(predictor, make_gallery(tmp_path, predictor))
    assert len(request_items(model)) == 2
    bench = ServiceBench(Settings(models="fashion@1"), model, 0.02)
    assert bench.kinds == ["images", "texts", "recordings"]
    assert set(bench.cost("images")) == {"image", "text", "audio"}
    assert set(bench.cost("texts")) == {"text"}
    assert set(bench.cost("recordings")) == {"audio"}
    assert bench.batch_rate(ONE_BY_TWO, "recordings", 5) > 0
    assert default_size(bench.cost("recordings")) == 32  # a second each: 12,000 frames would hold more items


def test_readings_are_measured_alone_and_with_the_rest() -> None:
    bench = ServiceBench(Settings(), Model(load_predictor(four_checkpoint())), 0.02)
    assert bench.kinds == ["images", "texts", "recordings", "readings"]
    assert set(bench.cost("images")) == {"image", "text", "audio", "sensors"}
    assert bench.cost("readings") == {"sensors": 3}
    assert bench.batch_rate(ONE_BY_TWO, "readings", 5) > 0


def test_a_worker_without_memory_ends_the_others_and_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine()
    model = Model(make_predictor(engine=fake))
    bench = ServiceBench(Settings(), model, 60.0)

    def no_memory(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model.predictor, "predict", no_memory)
    assert not bench.fits(ONE_BY_TWO, "images", 5)
    with pytest.raises(MemoryError):
        bench.batch_rate(ONE_BY_TWO, "images", 5)
