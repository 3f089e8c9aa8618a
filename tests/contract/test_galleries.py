"""/galleries: items, their images, search, and the aliases of the default model."""

import base64
from urllib.parse import quote

import httpx
import pytest

from tests.fakes import ITEMS, image_file


@pytest.mark.parametrize("prefix", ["", "/galleries/fashion"])
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: ascii(item.id))
def test_every_id_is_an_address(client: httpx.Client, prefix: str, item: object) -> None:
    path = f"{prefix}/items/{quote(item.id, safe='')}"
    body = client.get(path).json()
    assert body["id"] == item.id
    assert body["text"] == item.text
    image = client.get(f"{path}/image")
    if item.id in ("red", "blue/1", "a/image"):
        assert body["image_url"] == f"/galleries/fashion/items/{quote(item.id, safe='')}/image"
        assert image.headers["Content-Type"] == "image/jpeg"
        assert client.get(body["image_url"]).content == image.content
    else:
        assert body["image_url"] is None
        assert image.status_code == 404


def test_an_image_is_cached_by_its_tag(client: httpx.Client) -> None:
    first = client.get("/items/red/image")
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    again = client.get("/items/red/image", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pages_hold_every_item_once(client: httpx.Client) -> None:
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = client.get("/galleries/fashion/items", params={"limit": 3, "after": after}).json()
        assert page["num_items"] == 4
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
    assert seen == sorted(item.id for item in ITEMS)


def search(client: httpx.Client, **fields: object) -> list[str]:
    answer = client.post("/search", json=fields)
    assert answer.status_code == 200, answer.text
    return [match["id"] for match in answer.json()["matches"]]


def test_a_search_is_by_inputs_or_by_vector_or_by_an_item(client: httpx.Client) -> None:
    assert search(client, text="red", top_k=1) == ["red"]
    vector = client.post("/embed", json={"text": "star"}).json()["embedding"]
    assert search(client, vector=vector, top_k=1) == ["größe ☃?#"]
    assert search(client, like="red", target="image", top_k=1) == ["a/image"]
    assert search(client, like="red", filter={"labels.colour": "blue"}, top_k=1) == ["blue/1"]
    assert search(client, text="red", min_score=0.9999) == search(client, text="red", top_k=1)[:0]


def test_a_search_by_image_says_its_target(client: httpx.Client) -> None:
    red = image_file("red")
    by_form = client.post("/galleries/fashion/search", files={"image": ("a.png", red)}, data={"target": "image"})
    by_json = client.post("/search", json={"image": base64.b64encode(red).decode(), "target": "image"})
    assert by_form.json()["target"] == by_json.json()["target"] == "image"
    assert by_form.json()["matches"] == by_json.json()["matches"]
    assert by_form.json()["matches"][0]["id"] == "red"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"like": "none"},
        {"like": "größe ☃?#", "target": "image"},
        {"vector": [1, 2]},
        {"vector": [0] * 8},
        {"vector": [1] * 8, "target": "audio"},
        {"text": "red", "weights": {}},
    ],
)
def test_a_faulty_search_is_a_problem(client: httpx.Client, fields: dict[str, object]) -> None:
    assert client.post("/search", json=fields).status_code == 422
