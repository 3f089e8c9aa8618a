"""/items: what is written is found at once and stays; of many each fails for itself; galleries of one's own."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from app.checkpoints import with_galleries
from app.schemas.galleries import GalleryDescription, ItemResponse, ItemsResponse
from app.service import Service
from app.settings import Settings
from retrieval.sqlite.store import SqliteStore
from tests.fakes import image_file, make_source, seed_of, serving

RED64 = base64.b64encode(image_file("red")).decode()


def live_service(data: Path, seed_folder: Path, settings: Settings) -> Service:
    store, source = SqliteStore(data), make_source(seed_folder)
    models = [make() for make in source.makers.values()]
    kept = [with_galleries(model.predictor, store, seed_of(model)) for model in models]
    return Service(kept, settings, source, store=store)


@pytest.fixture
def live(tmp_path: Path, seed_folder: Path) -> Iterator[httpx.Client]:
    settings = Settings(num_workers=2)
    with serving(settings, lambda settings: live_service(tmp_path, seed_folder, settings)) as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [match["id"] for match in answer.json()["matches"]]


@pytest.mark.parametrize("prefix", ["", "/galleries/fashion"])
@pytest.mark.parametrize("item_id", ["plain", "a/b", "größe ☃?#", "x/image", "x/thumbnail", "a%2Fb"])
def test_what_is_put_is_there_is_found_and_can_be_deleted(live: httpx.Client, prefix: str, item_id: str) -> None:
    path = f"{prefix}/items/{quote(item_id, safe='')}"
    known = live.get(path).status_code == 200
    fields = {"image": RED64, "text": "red", "labels": {"kind": "new"}, "metadata": {"price": 9.5}}
    put = live.put(path, json=fields)
    assert put.status_code == (200 if known else 201), put.text
    assert put.json()["labels"] == {"kind": "new"}
    assert live.get(path).json() == put.json()
    assert ItemResponse.model_validate(put.json()).model_dump(mode="json") == put.json()
    assert ids(live.post("/search", json={"text": "red", "filter": {"labels.kind": "new"}})) == [item_id]
    assert live.get(put.json()["image_url"]).content == image_file("red")
    again = live.put(path, json={"text": "star"})
    assert again.status_code == 200
    assert (again.json()["image_url"], again.json()["labels"]) == (None, {})
    assert live.get(f"{path}/image").status_code == 404
    assert live.delete(path).status_code == 204
    assert live.delete(path).status_code == live.get(path).status_code == 404


def test_three_media_types_write_equal_items(live: httpx.Client) -> None:
    more = {"labels": {"kind": ["a", "b"]}, "metadata": {"n": 1}}
    as_text = {name: json.dumps(value) for name, value in more.items()}
    answers = [
        live.put("/items/1", json={"image": RED64, "text": "red", **more}),
        live.put("/items/2", files={"image": ("a.png", image_file("red"))}, data={"text": "red", **as_text}),
        live.put(
            "/items/3",
            content=image_file("red"),
            headers={"Content-Type": "image/png"},
            params={"text": "red", **as_text},
        ),
    ]
    assert [answer.status_code for answer in answers] == [201] * 3, [answer.text for answer in answers]
    kept = [{**answer.json(), "id": "", "image_url": ""} for answer in answers]
    assert kept[0] == kept[1] == kept[2]
    found = live.post("/search", json={"text": "red", "filter": {"metadata.n": 1}}).json()["matches"]
    assert len({match["score"] for match in found}) == 1


def test_images_come_back_as_they_were_and_small(live: httpx.Client) -> None:
    file = io.BytesIO()
    Image.new("RGB", (400, 200), "blue").save(file, "WEBP")
    live.put("/items/wide", files={"image": ("a.webp", file.getvalue())})
    image, small = live.get("/items/wide/image"), live.get("/items/wide/thumbnail")
    assert (image.headers["Content-Type"], image.content) == ("image/webp", file.getvalue())
    assert small.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (112, 56)
    for answer in (image, small):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        tagged = live.get(answer.url.path, headers={"If-None-Match": answer.headers["ETag"]})
        assert tagged.status_code == 304
    assert live.get("/items/red/thumbnail").content == live.get("/items/red/image").content  # a seed's


def test_items_of_a_batch_fail_each_for_itself_and_in_order(live: httpx.Client) -> None:
    items: list[Any] = [
        {"id": "a", "text": "red"},
        {"id": "b", "image": "not base64"},
        {"id": "a", "text": "star"},
        {"text": "no id"},
        7,
        {"id": "red", "delete": True},
        {"id": "none", "delete": True},
        {"id": "c", "text": "x", "labels": {"n": 1}},
        {"id": "d", "image": base64.b64encode(b"no image").decode()},
    ]
    answer = live.post("/items:batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    assert ItemsResponse.model_validate(answer.json()).model_dump(mode="json") == answer.json()
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 200, 422, 422, 204, 404, 422, 415]
    assert [result.get("id") for result in results][:3] == ["a", None, "a"]
    assert live.get("/items/a").json()["text"] == "star"
    assert live.get("/items/red").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "image or text or audio or sensors"),
        ({"text": "x", "labels": [1]}, "labels"),
        ({"text": "x", "labels": {"a": 1}}, "labels"),
        ({"text": "x", "labels": {"a": [1]}}, "labels"),
        ({"text": "x", "labels": {"a\0": "b"}}, "labels"),
        ({"text": "x", "metadata": "no"}, "metadata"),
        ({"text": "x", "metadata": {"a": "b\0"}}, "metadata"),
        ({"text": "x", "metadata": {"a": 10**30}}, "metadata"),
        ({"text": "x\0"}, "text"),
        ({"text": "x", "lables": {}}, "lables"),
        ({"image": "%%"}, "image"),
    ],
)
def test_a_faulty_item_is_a_problem_that_names_the_field(
    live: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    answer = live.put("/items/x", json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert live.get("/items/x").status_code == 404


def test_what_is_too_large_or_cannot_be_an_id_is_refused(live: httpx.Client) -> None:
    assert live.put("/items/x", json={"text": "x", "metadata": {"a": "b" * 70_000}}).status_code == 413
    assert live.put(f"/items/{'x' * 600}", json={"text": "x"}).status_code == 422
    assert live.put("/items/a%00b", json={"text": "x"}).status_code == 422
    batch = live.post("/items:batch", json={"items": [{"id": "..", "text": "x"}]})
    assert "clients" in batch.json()["results"][0]["problem"]["detail"]
    assert live.post("/items:batch", json={"items": [{"id": "x", "text": "y"}] * 1001}).status_code == 413
    assert live.post("/items:batch", json={"items": []}).status_code == 422


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path, seed_folder: Path) -> None:
    def load(settings: Settings) -> Service:
        return live_service(tmp_path, seed_folder, settings)

    with serving(Settings(num_workers=1), load) as client:
        client.put("/items/mine", json={"text": "red", "labels": {"kind": "kept"}})
        client.delete("/items/blue%2F1")
        client.put("/galleries/other", json={"model": "words"})
        client.put("/galleries/other/items/a", json={"text": "star"})
    with serving(Settings(num_workers=1), load) as client:
        assert client.get("/items/mine").json()["labels"] == {"kind": "kept"}
        assert client.get("/items/blue%2F1").status_code == 404
        assert ids(client.post("/galleries/other/search", json={"text": "star"})) == ["a"]


def test_galleries_are_made_listed_searched_and_dropped(live: httpx.Client) -> None:
    assert [one["name"] for one in live.get("/galleries").json()["galleries"]] == ["fashion", "words"]
    made = live.put("/galleries/shop")
    assert made.status_code == 201
    assert GalleryDescription.model_validate(made.json()).model_dump(mode="json") == made.json()
    assert (made.json()["model"], made.json()["num_items"], made.json()["writable"]) == ("fashion", 0, True)
    assert live.put("/galleries/shop", json={"model": "fashion"}).status_code == 200
    assert live.put("/galleries/shop", json={"model": "words"}).status_code == 409
    assert live.put("/galleries/shop2", json={"model": "none"}).status_code == 404
    assert live.put("/galleries/..%2Fx").status_code in (404, 422)
    assert live.put("/galleries/.x").status_code == 422
    live.put("/galleries/shop/items/a", json={"text": "star", "image": RED64})
    assert ids(live.post("/galleries/shop/search", json={"text": "star"})) == ["a"]
    predicted = live.post("/predict", json={"text": "star", "gallery": "shop"})
    assert ids(predicted) == ["a"]
    [match] = predicted.json()["matches"]
    assert match["image_url"] == "/galleries/shop/items/a/image"
    assert live.get(match["image_url"]).status_code == 200
    explained = live.post("/predict", json={"text": "star", "gallery": "shop", "explain": True}).json()
    assert explained["matches"] == [match]
    assert live.post("/predict", json={"text": "star", "gallery": "words"}).status_code == 422
    assert live.get("/galleries/shop").json()["num_items"] == 1
    assert live.delete("/galleries/shop").status_code == 204
    assert live.delete("/galleries/shop").status_code == live.get("/galleries/shop").status_code == 404
    assert live.delete("/galleries/fashion").status_code == 409


def test_galleries_that_only_can_be_read_say_so(client: httpx.Client) -> None:
    for answer in (
        client.put("/items/x", json={"text": "red"}),
        client.delete("/items/red"),
        client.post("/items:batch", json={"items": [{"id": "x", "text": "y"}]}),
        client.put("/galleries/x"),
        client.delete("/galleries/x"),
    ):
        assert answer.status_code == 409, answer.text
        assert "INTERMODAL_GALLERIES" in answer.json()["detail"]
    assert not client.get("/galleries/fashion").json()["writable"]


def test_pages_of_a_search_hold_every_match_once_though_items_come_and_go(live: httpx.Client) -> None:
    for number in range(12):
        live.put(f"/items/n{number:02}", json={"text": "red", "labels": {"kind": "n"}})
    query = {"text": "red", "filter": {"labels.kind": "n"}, "top_k": 5}
    seen: list[str] = []
    after = None
    while True:
        page = live.post("/search", json={**query, "after": after})
        seen += ids(page)
        after = page.json()["next"]
        if after is None:
            break
        live.delete(f"/items/{seen[-1]}")
        live.put(f"/items/m{len(seen)}", json={"text": "red", "labels": {"kind": "m"}})
    assert seen == [f"n{number:02}" for number in range(12)]


def test_groups_weights_and_least_scores(live: httpx.Client) -> None:
    for item_id, colour in (("1", "red"), ("2", "red"), ("3", "blue")):
        live.put(f"/items/g{item_id}", json={"text": "red", "labels": {"g": colour}})
    grouped = live.post(
        "/search", json={"text": "red", "filter": {"labels.g": {"exists": True}}, "group_by": "labels.g"}
    )
    assert ids(grouped) == ["g1", "g3"]
    both = {"image": RED64, "text": "star"}
    by_image = ids(live.post("/search", json={**both, "weights": {"image": 1}, "target": "image", "top_k": 1}))
    assert by_image == ids(live.post("/search", json={"image": RED64, "target": "image", "top_k": 1}))
    by_text = ids(live.post("/search", json={**both, "weights": {"image": 0, "text": 2}, "top_k": 1}))
    assert by_text == ids(live.post("/search", json={"text": "star", "top_k": 1}))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "red", "weights": {"image": 1}}, "weights"),
        ({"text": "red", "weights": {"text": "1"}}, "weights"),
        ({"text": "red", "weights": {"text": 1e9}}, "weights"),
        ({"text": "red", "weights": {"text": 0}}, "vector"),
        ({"text": "red", "group_by": "colour"}, "group_by"),
        ({"text": "red", "after": "x"}, "after"),
        ({"text": "red", "after": base64.b64encode(b"[1]").decode()}, "after"),
    ],
)
def test_a_faulty_search_names_the_field(client: httpx.Client, fields: dict[str, Any], field: str) -> None:
    answer = client.post("/search", json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
