"""Both clients against a service with galleries that are kept: what goes in comes out as what the API says."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from intermodal_client import (
    Client,
    ConflictError,
    InvalidError,
    Item,
    NotFoundError,
    Prediction,
    ProblemError,
    UnauthorizedError,
    UnsupportedMediaError,
)

from app.keys import hash_key
from app.settings import Settings
from tests.client.conftest import MakeClient
from tests.contract.conftest import Start
from tests.contract.test_items import live_service
from tests.fakes import image_file, serving

RED = image_file("red")


@pytest.fixture
def live(tmp_path: Path, seed_folder: Path) -> Iterator[httpx.Client]:
    settings = Settings(num_workers=2)
    with serving(settings, lambda settings: live_service(tmp_path, seed_folder, settings)) as client:
        yield client


@pytest.fixture
def client(live: httpx.Client, make: MakeClient) -> Client:
    return make(base_url=str(live.base_url))


def test_predict_takes_files_however_they_come(client: Client, live: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    expected = live.post("/predict", files={"image": ("a", RED)}, data={"text": "red"}).json()
    data_uri = "data:image/png;base64," + base64.b64encode(RED).decode()
    for image in (RED, tmp_path / "red.png", str(tmp_path / "red.png"), io.BytesIO(RED), data_uri):
        found = client.predict(image=image, text="red")
        assert (found.model.name, found.model.version) == ("fashion", 2)
        assert found.modalities_used == ["image", "text"]
        assert {
            head: [{"label": one.label, "score": one.score} for one in labels]
            for head, labels in found.classes.items()
        } == expected["classes"]
        assert [(match.id, match.score) for match in found.matches] == [
            (match["id"], match["score"]) for match in expected["matches"]
        ]
        assert found.coverage is None


def test_predict_sends_every_option_in_a_form_and_in_json(client: Client) -> None:
    wanted = {"num_labels": 1, "coverage": 0.8, "top_k": 2, "target": "image", "filter": {"labels.colour": "red"}}
    for inputs in ({"image": RED, "text": "red"}, {"text": "red"}):
        found = client.predict(**inputs, **wanted)  # type: ignore[arg-type]
        assert [len(labels) for labels in found.classes.values()] == [1, 1]
        assert found.prediction_sets is not None
        assert {match.labels["colour"] for match in found.matches} == {"red"}
    assert client.predict(text="red", retrieve=False).matches == []
    explained = client.predict(text="red star", explain=True).explanation
    assert explained is not None
    assert {name for head in explained.values() for name in head.contributions} == {"text"}


def test_a_model_and_a_version_are_asked_by_name(client: Client) -> None:
    assert client.predict(model="words", text="red").model.name == "words"
    assert client.predict(model="fashion", version=1, text="red").model.version == 1
    with pytest.raises(NotFoundError, match="No model 'x'") as raised:
        client.predict(model="x", text="red")
    assert raised.value.status == 404
    with pytest.raises(ValueError, match="name the model too"):
        client.predict(version=1, text="red")


def test_a_batch_gives_each_item_its_prediction_or_its_error(client: Client) -> None:
    good, bad, other = client.predict_batch(
        [{"image": RED}, {"image": b"no image"}, {"text": "blue", "num_labels": 1}]
    )
    assert isinstance(good, Prediction)
    assert good.modalities_used == ["image"]
    assert isinstance(bad, UnsupportedMediaError)
    assert (bad.field, bad.status) == ("image", 415)
    assert isinstance(other, Prediction)
    assert other.classes["colour"][0].label == "blue"


def test_a_refusal_says_status_field_and_request_id(client: Client) -> None:
    with pytest.raises(InvalidError, match="422: top_k: must be") as raised:
        client.predict(text="red", top_k=0)
    problem = raised.value
    assert (problem.status, problem.title, problem.field) == (422, "Unprocessable Entity", "top_k")
    assert problem.detail.startswith("top_k: ")
    assert len(problem.request_id or "") == 32


def test_embed_and_classify(client: Client, live: httpx.Client) -> None:
    embedded = client.embed(image=RED, text="red")
    assert embedded.dimensions == len(embedded.embedding) == 8
    fields = {"text": "red"}
    assert embedded.embedding == live.post("/embed", files={"image": ("a", RED)}, data=fields).json()["embedding"]
    shares = client.classify(["red", "blue star"], text="red", temperature=0.5).labels
    assert shares[0].label == "red"
    assert sum(one.score for one in shares) == pytest.approx(1, abs=1e-5)


def test_items_are_written_read_found_and_deleted(client: Client) -> None:
    strange = "größe/☃ ?#%2F"
    item = client.put_item(strange, image=RED, text="red", labels={"kind": "new"}, metadata={"price": 9.5})
    assert (item.id, item.labels, item.metadata) == (strange, {"kind": "new"}, {"price": 9.5})
    assert client.get_item(strange) == item
    assert client.get_image(strange) == RED
    assert client.get_thumbnail(strange)[:2] == b"\xff\xd8"
    with pytest.raises(NotFoundError, match="has no audio"):
        client.get_audio(strange)
    found = client.search(text="red", filter={"labels.kind": "new"}, top_k=1)
    assert ([match.id for match in found.matches], found.target) == ([strange], "fused")
    client.delete_item(strange)
    with pytest.raises(NotFoundError):
        client.get_item(strange)


def test_a_search_goes_by_vector_by_like_and_by_weights_page_by_page(client: Client) -> None:
    vector = client.embed(text="star").embedding
    assert client.search(vector=vector, target="text").matches[0].text in ("star", "blue star")
    assert "red" not in [match.id for match in client.search(like="red").matches]
    weighed = client.search(image=RED, text="blue", weights={"image": 0.0, "text": 1.0}, gallery="fashion")
    assert weighed.matches[0].id == client.search(text="blue").matches[0].id
    first = client.search(text="red", top_k=3)
    second = client.search(text="red", top_k=3, after=first.next)
    assert [match.id for match in first.matches + second.matches] == [
        match.id for match in client.search(text="red").matches
    ]
    assert second.next is None


def test_many_items_change_at_once_and_are_iterated_page_by_page(client: Client) -> None:
    client.create_gallery("shop", model="fashion")
    changes = [{"id": str(number), "text": "red"} for number in range(7)]
    results = client.change_items([*changes, {"id": "2", "delete": True}, {"id": "x"}], gallery="shop")  # type: ignore[list-item]
    assert results[:8] == ["0", "1", "2", "3", "4", "5", "6", "2"]
    assert isinstance(results[8], ProblemError)
    assert results[8].status == 422
    items = list(client.items(gallery="shop", page_size=2))
    assert [item.id for item in items] == ["0", "1", "3", "4", "5", "6"]
    assert all(isinstance(item, Item) for item in items)
    page = client.item_page(gallery="shop", limit=4, after="1")
    assert ([item.id for item in page.items], page.num_items, page.next) == (["3", "4", "5", "6"], 6, None)


def test_galleries_are_made_described_and_dropped(client: Client) -> None:
    made = client.create_gallery("mine")
    assert (made.name, made.model, made.num_items, made.writable) == ("mine", "fashion", 0, True)
    assert client.create_gallery("mine") == client.get_gallery("mine") == made
    assert "mine" in [gallery.name for gallery in client.galleries()]
    client.delete_gallery("mine")
    with pytest.raises(NotFoundError):
        client.get_gallery("mine")
    with pytest.raises(ConflictError):
        client.delete_gallery("fashion")


def test_models_are_described_loaded_and_unloaded(client: Client) -> None:
    assert [(model.name, model.version) for model in client.models()] == [
        ("fashion", 2),
        ("fashion", 1),
        ("words", 1),
    ]
    described = client.get_model("fashion")
    assert described.heads["colour"].labels == ["blue", "red"]
    assert described.gallery is not None
    assert described.gallery.num_items == 4
    assert [(model.name, model.version) for model in client.unload("words")] == [("fashion", 2), ("fashion", 1)]
    assert client.load("words", current=True).name == "words"
    assert client.load("fashion", version=1, current=False, keep=True).current is False


def test_health_is_a_yes_or_no(client: Client, make: MakeClient) -> None:
    assert client.is_live()
    assert client.is_ready()
    assert client.is_started()
    nowhere = make(base_url="http://127.0.0.1:9", max_retries=0)
    assert not nowhere.is_ready()


def test_a_key_is_sent_and_a_wrong_one_is_refused(start: Start, make: MakeClient) -> None:
    address = str(start(require_key="all", api_keys=hash_key(b"a-key-of-the-shop")).base_url)
    assert make(base_url=address, api_key="a-key-of-the-shop").predict(text="red").modalities_used == ["text"]
    with pytest.raises(UnauthorizedError):
        make(base_url=address, api_key="another").predict(text="red")
    with pytest.raises(UnauthorizedError):
        make(base_url=address).models()
