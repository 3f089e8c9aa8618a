"""Sensors over HTTP: equal answers by every media type, ranges, faults. And all four modalities in one model."""

import base64
import json
import shlex
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import httpx
import pytest

from app.served import Model
from app.server import _invitation
from app.service import Service
from app.settings import Settings
from app.tensor_request import HEADER
from models.config import MODALITIES
from models.predictor import load_predictor
from models.trust import TrustRules
from tests.fakes import FakeSource, make_predictor, serving
from tests.four import four_checkpoint, gauge_checkpoint
from tests.sounds import spoken, wav
from tests.tiny import image_file, picture

PICTURE, SOUND = image_file(picture(0)), wav(spoken("a b"))
SENSORS = {"speed": 3, "turn": 0.25, "wheel": None}
WHOLE: dict[str, Any] = {
    "image": base64.b64encode(PICTURE).decode(),
    "text": "a red circle",
    "audio": base64.b64encode(SOUND).decode(),
    "sensors": SENSORS,
}
SUBSETS = [part for size in range(1, 5) for part in combinations(MODALITIES, size)]


def load(settings: Settings) -> Service:
    models = [Model(load_predictor(four_checkpoint())), Model(make_predictor())]
    return Service(models, settings, FakeSource({}))


@pytest.fixture(scope="module")
def four() -> Iterator[httpx.Client]:
    """A client of a service with a real model of four modalities, and a fake one that knows no sensors."""
    settings = Settings(num_workers=2, max_sensor_channels=5, max_sensor_steps=6)
    with serving(settings, load) as client:
        yield client


def answered(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def problem(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["field"] == "sensors"
    return str(answer.json()["detail"])


def test_every_media_type_gives_equal_answers(four: httpx.Client) -> None:
    by_json = answered(four.post("/predict", json=WHOLE))
    files = {"image": ("a.png", PICTURE), "audio": ("a.wav", SOUND)}
    fields = {"text": "a red circle", "sensors": json.dumps(SENSORS)}
    assert answered(four.post("/predict", files=files, data=fields)) == by_json
    assert by_json["modalities_used"] == list(MODALITIES)
    alone = answered(four.post("/predict", json={"image": WHOLE["image"], "sensors": SENSORS}))
    bare = four.post(
        "/predict", content=PICTURE, headers={"Content-Type": "image/png"}, params={"sensors": fields["sensors"]}
    )
    assert answered(bare) == alone
    assert set(alone["values"]) == {"steer", "speed"}
    assert "std" in alone["values"]["steer"]


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_of_four_modalities_answers_and_says_what_it_used(
    four: httpx.Client, subset: tuple[str, ...]
) -> None:
    answer = answered(four.post("/predict", json={name: WHOLE[name] for name in subset}))
    assert answer["modalities_used"] == list(subset)
    assert all(label["score"] >= 0 for head in answer["classes"].values() for label in head)
    batch = four.post("/predict/batch", json={"items": [{name: WHOLE[name] for name in subset}, WHOLE]}).json()
    [one, _] = batch["results"]
    for head, value in answer["values"].items():
        assert one["values"][head]["value"] == pytest.approx(value["value"], abs=1e-4)


def test_each_modality_counts_where_it_is_given_and_nowhere_else(four: httpx.Client) -> None:
    """Masks hold: another value changes the answers of just those subsets that have the modality."""
    others = {**WHOLE, "sensors": {"speed": 9, "turn": -0.9, "wheel": 60}}

    def embedding(fields: dict[str, Any]) -> list[float]:
        found: list[float] = answered(four.post("/embed", json=fields))["embedding"]
        return found

    for subset in SUBSETS:
        one, other = (embedding({name: given[name] for name in subset}) for given in (WHOLE, others))
        assert (one == pytest.approx(other, abs=1e-6)) == ("sensors" not in subset), subset


@pytest.mark.parametrize("nothing", [None, {}, {"speed": None}, {"speed": [None, None], "turn": []}])
def test_gaps_alone_are_an_absent_modality(four: httpx.Client, nothing: object) -> None:
    answer = answered(four.post("/predict", json={"text": "a", "sensors": nothing}))
    assert answer["modalities_used"] == ["text"]
    alone = four.post("/predict", json={"sensors": nothing})
    assert alone.status_code == 422
    assert "nothing to look at" in alone.json()["detail"]


def test_what_is_out_of_range_is_told_and_counts_all_the_same(four: httpx.Client) -> None:
    within = answered(four.post("/predict", json={"sensors": {"speed": 10, "turn": 1}}))
    assert "out_of_range" not in within
    beyond = answered(four.post("/predict", json={"sensors": {"speed": [12, 11], "wheel": -7, "turn": 1}}))
    assert beyond["out_of_range"] == {
        "speed": {"value": 11.0, "low": 0.0, "high": 10.0},
        "wheel": {"value": -7.0, "low": 0.0, "high": None},
    }
    farther = answered(four.post("/predict", json={"sensors": {"speed": 1e200, "wheel": -7, "turn": 1}}))
    assert farther["values"] != beyond["values"]


@pytest.mark.parametrize(
    ("sensors", "says"),
    [
        ({"sped": 1}, "unknown channel 'sped'; did you mean 'speed'?"),
        ({"speed": "3"}, "'speed' has '3', which is no finite number"),
        ({"speed": [1, [2]]}, "'speed' has [2], which is no finite number"),
        ([1, 2], "must be an object of readings by channel"),
        ("speed=3", "must be an object of readings by channel"),
    ],
)
def test_faults_are_told(four: httpx.Client, sensors: object, says: str) -> None:
    assert says in problem(four.post("/predict", json={"sensors": sensors}))
    [good, bad] = four.post(
        "/predict/batch", json={"items": [{"sensors": {"speed": 1}}, {"sensors": sensors}]}
    ).json()["results"]
    assert good["status"] == 200
    assert bad["status"] == 422
    assert says in bad["problem"]["detail"]


def test_too_much_is_refused(four: httpx.Client) -> None:
    many = {f"c{place}": 1 for place in range(6)}
    assert "6 channels; the limit is 5" in problem(four.post("/predict", json={"sensors": many}), 413)
    long = four.post("/embed", json={"sensors": {"speed": [1] * 7}})
    assert "7 steps; the limit is 6" in problem(long, 413)


def test_a_model_that_knows_no_sensors_says_so(four: httpx.Client) -> None:
    detail = problem(four.post("/models/fashion/predict", json={"sensors": {"speed": 1}}))
    assert "does not know it. It knows: image, text." in detail


def test_a_form_s_sensors_that_are_no_json_are_told(four: httpx.Client) -> None:
    assert "not valid here" in problem(four.post("/predict", files={"sensors": (None, "speed=3")}))


def test_classify_takes_sensors(four: httpx.Client) -> None:
    fields = {"sensors": SENSORS, "labels": ["a red circle", "a blue star"]}
    assert answered(four.post("/classify", json=fields))


def test_a_model_describes_its_channels(four: httpx.Client) -> None:
    found = four.get("/models/tiny").json()
    assert found["modalities"] == list(MODALITIES)
    assert found["sensors"]["steps"] == 1
    assert found["sensors"]["channels"]["speed"] == {
        "unit": "m/s", "low": 0.0, "high": 10.0, "mean": 5.0, "std": 3.0
    }  # fmt: skip
    assert found["sensors"]["channels"]["wheel"]["high"] is None
    assert "sensors" not in four.get("/models/fashion").json()


@pytest.mark.parametrize("binary", [True, False])
def test_a_tensor_of_json_is_the_same_as_the_object(four: httpx.Client, binary: bool) -> None:
    value = json.dumps(SENSORS).encode()
    data: dict[str, Any] = {"name": "sensors", "shape": [2], "datatype": "BYTES"}
    behind = b"".join(len(part).to_bytes(4, "little") + part for part in (value, b'{"speed": 9}'))
    if binary:
        head = json.dumps({"inputs": [{**data, "parameters": {"binary_data_size": len(behind)}}]}).encode()
        length = {HEADER: str(len(head))}
        answer = four.post("/v2/models/tiny/infer", content=head + behind, headers=length)
    else:
        data["data"] = [value.decode(), '{"speed": 9}']
        answer = four.post("/v2/models/tiny/infer", json={"inputs": [data]})
    assert answer.status_code == 200, answer.text
    [steer] = [found for found in answer.json()["outputs"] if found["name"] == "steer"]
    expected = answered(four.post("/predict", json={"sensors": SENSORS}))["values"]["steer"]["value"]
    assert steer["data"][0] == pytest.approx(expected, abs=1e-4)
    assert steer["data"][1] != pytest.approx(expected, abs=1e-4)


def judged(settings: Settings) -> Service:
    rules = TrustRules(
        needs=("image",),
        stds={"steer": {"image": 1e-6}},
        most_std={"steer": 1e6},
        scores={"colour": {"text": 1.0}},
    )
    predictor = load_predictor(four_checkpoint())
    predictor.config = predictor.config.model_copy(update={"trust": rules})
    return Service([Model(predictor)], settings, FakeSource({}))


def test_tensors_have_the_doubts_that_predict_has() -> None:
    with serving(Settings(num_workers=1), judged) as client:
        rows = [{"speed": 99}, {"speed": 5}]
        tensor = {"name": "sensors", "datatype": "BYTES", "shape": [2], "data": [json.dumps(row) for row in rows]}
        sent = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]})
        assert sent.status_code == 200, sent.text
        found = {output["name"]: output for output in sent.json()["outputs"]}
        for place, row in enumerate(rows):
            answer = answered(client.post("/predict", json={"sensors": row}))
            assert json.loads(found["trust"]["data"][place]) == answer["trust"]
            assert json.loads(found["out_of_range"]["data"][place]) == answer.get("out_of_range", {})
        described = {output["name"]: output for output in client.get("/v2/models/tiny").json()["outputs"]}
        for name in ("trust", "out_of_range"):
            assert described[name] == {"name": name, "datatype": "BYTES", "shape": [-1]}


def test_an_answer_says_when_not_to_trust_it() -> None:
    with serving(Settings(num_workers=1), judged) as client:
        fine = answered(client.post("/predict", json={"image": WHOLE["image"], "text": "a"}))
        assert fine["trust"] == {"ok": True, "reasons": []}
        blind = answered(client.post("/predict", json={"sensors": {"speed": 99}}))
        assert blind["trust"] == {
            "ok": False,
            "reasons": [{"kind": "missing", "about": "image"}, {"kind": "out_of_range", "about": "speed"}],
        }
        unsure = answered(client.post("/predict", json={"image": WHOLE["image"]}))["trust"]
        [reason] = unsure["reasons"]
        assert (reason["kind"], reason["about"], reason["limit"]) == ("uncertain", "steer", 1e-6)
        assert (
            reason["value"]
            == answered(client.post("/predict", json={"image": WHOLE["image"]}))["values"]["steer"]["std"]
        )
        words = answered(client.post("/predict", json={"text": "a"}))["trust"]["reasons"]
        assert [reason["about"] for reason in words] == ["image", "colour"]
        assert words[1]["value"] < words[1]["limit"] == 1.0
        lines = client.get("/metrics").text
        assert 'intermodal_doubts_total{kind="missing",model="tiny"} 2.0' in lines


def test_without_rules_nothing_is_judged(four: httpx.Client) -> None:
    assert "trust" not in answered(four.post("/predict", json=WHOLE))


def test_openais_embeddings_take_them_as_a_part_beside_others(four: httpx.Client) -> None:
    part = {"type": "sensors", "sensors": SENSORS}
    both = {"content": [part, {"type": "text", "text": "a red circle"}]}
    answer = answered(four.post("/v1/embeddings", json={"input": [part, both]}))
    expected = [{"sensors": SENSORS}, {"sensors": SENSORS, "text": "a red circle"}]
    vectors = [answered(four.post("/embed", json=fields))["embedding"] for fields in expected]
    assert [item["embedding"] for item in answer["data"]] == vectors
    refused = four.post("/v1/embeddings", json={"input": {"type": "sensors", "sensors": {"speed": "fast"}}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "input")


def test_a_model_of_sensors_alone_starts_answers_and_says_how_to_ask_it() -> None:
    held: list[Service] = []

    def alone(settings: Settings) -> Service:
        held.append(Service([Model(load_predictor(gauge_checkpoint()))], settings, FakeSource({})))
        return held[0]

    with serving(Settings(num_workers=1), alone) as client:
        assert client.get("/health/ready").status_code == 200
        assert answered(client.post("/predict", json={"sensors": SENSORS}))["modalities_used"] == ["sensors"]
        assert client.post("/predict", json={"text": "a"}).status_code == 422
    command = shlex.split(_invitation(held[0], 8000).partition("try: ")[2])
    assert command[:2] == ["curl", "-F"]
    assert json.loads(command[2].removeprefix("sensors=")) == {"speed": 5.0, "turn": 0.0, "wheel": 100.0}


def test_what_sensors_add_is_explained(four: httpx.Client) -> None:
    fields = {"text": "a red circle", "sensors": SENSORS, "explain": True}
    found = answered(four.post("/predict", json=fields))["explanation"]
    assert set(found) == {"shape", "colour", "steer", "speed"}
    for head in found.values():
        assert set(head["contributions"]) == {"text", "sensors"}
