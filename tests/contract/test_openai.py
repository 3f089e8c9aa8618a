"""/v1, asked by OpenAI's own client and by LangChain's, and by hand where these send nothing wrong."""

import base64
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings

from app.keys import hash_key
from app.settings import Settings
from tests.contract.conftest import Start
from tests.fakes import FakeEngine, image_file, make_hearing_service, recording, serving


def uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def openai_of(client: httpx.Client, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", **{"api_key": "none", "max_retries": 0, **options})


@pytest.fixture
def asking(client: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai_of(client) as asking:
        yield asking


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("hearing")
    with serving(Settings(num_workers=2), partial(make_hearing_service, folder, first="speech")) as client:
        yield client


def embedded(client: httpx.Client, **inputs: str) -> list[float]:
    answer = client.post("/embed", json=inputs)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["embedding"])


@pytest.mark.parametrize("encoding", [openai.omit, "float", "base64"])
def test_embeddings_are_those_of_embed_in_every_encoding(
    asking: openai.OpenAI, client: httpx.Client, encoding: Any
) -> None:
    words = ["red", "a blue star", "star"]
    answer = asking.embeddings.create(model="fashion", input=words, encoding_format=encoding)
    assert (answer.object, answer.model) == ("list", "fashion")
    assert [(item.object, item.index) for item in answer.data] == [("embedding", row) for row in range(3)]
    for item, text in zip(answer.data, words, strict=True):
        vector = item.embedding
        if isinstance(vector, str):  # who asks for base64 by name, gets it
            vector = np.frombuffer(base64.b64decode(vector), "<f4").tolist()
        assert vector == embedded(client, text=text)
    # "red", "a", "blue", "star", "star": the tiny tokenizer knows whole words.
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 5)


def test_one_string_is_one_embedding_and_long_texts_count_what_the_network_saw(asking: openai.OpenAI) -> None:
    answer = asking.embeddings.create(model="fashion", input="red " * 50)
    assert len(answer.data) == 1
    assert answer.usage.prompt_tokens == 8  # the tiny model's max_tokens


def test_dimensions_cut_and_make_a_unit_vector_again(asking: openai.OpenAI, client: httpx.Client) -> None:
    whole = embedded(client, text="blue star")
    [item] = asking.embeddings.create(model="fashion", input=["blue star"], dimensions=7).data
    norm = math.sqrt(sum(number**2 for number in whole[:7]))
    assert item.embedding == pytest.approx([number / norm for number in whole[:7]], abs=1e-6)
    assert len(asking.embeddings.create(model="fashion", input="red", dimensions=8).data[0].embedding) == 8
    with pytest.raises(openai.UnprocessableEntityError, match="at most 8") as raised:
        asking.embeddings.create(model="fashion", input="red", dimensions=9)
    assert raised.value.param == "dimensions"


def test_images_come_by_data_uri_and_infinitys_modality(asking: openai.OpenAI, client: httpx.Client) -> None:
    pictures = [image_file("red"), image_file("blue")]
    answer = asking.embeddings.create(
        model="fashion", input=[uri(picture) for picture in pictures], extra_body={"modality": "image"}
    )
    expected = [embedded(client, image=base64.b64encode(picture).decode()) for picture in pictures]
    assert [item.embedding for item in answer.data] == expected
    assert answer.usage.prompt_tokens == 0


def test_content_parts_may_be_mixed_and_joined(client: httpx.Client) -> None:
    picture = image_file("red")
    part = {"type": "image_url", "image_url": {"url": uri(picture)}}
    both = {"content": [{"type": "text", "text": "blue"}, part]}
    flat = {"type": "input_image", "image_url": uri(picture)}
    answer = client.post("/v1/embeddings", json={"input": ["blue", part, both, flat]}).json()
    image = base64.b64encode(picture).decode()
    alone = embedded(client, image=image)
    assert [item["embedding"] for item in answer["data"]] == [
        embedded(client, text="blue"), alone, embedded(client, image=image, text="blue"), alone
    ]  # fmt: skip
    assert answer["usage"]["prompt_tokens"] == 2
    single = client.post("/v1/embeddings", json={"input": both}).json()
    assert single["data"][0]["embedding"] == answer["data"][2]["embedding"]


def test_recordings_come_as_parts_and_by_modality(hearing: httpx.Client) -> None:
    said = base64.b64encode(recording(1, 1)).decode()
    parts = [
        {"type": "input_audio", "input_audio": {"data": said, "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{said}"}},
    ]
    answer = hearing.post("/v1/embeddings", json={"model": "speech", "input": parts}).json()
    expected = embedded(hearing, audio=said)
    assert [item["embedding"] for item in answer["data"]] == [expected, expected]
    named = hearing.post("/v1/embeddings", json={"model": "speech", "input": said, "modality": "audio"}).json()
    assert named["data"][0]["embedding"] == expected


def test_models_are_listed_and_got_by_name_and_version(asking: openai.OpenAI) -> None:
    assert [model.id for model in asking.models.list()] == ["fashion", "fashion@1", "words"]
    assert asking.models.retrieve("fashion@1").id == "fashion@1"
    assert asking.models.retrieve("fashion@2").id == "fashion"
    assert asking.embeddings.create(model="fashion@1", input="red").model == "fashion@1"
    assert asking.embeddings.create(model="words", input="red").model == "words"
    with pytest.raises(openai.NotFoundError, match="No model 'gpt-9' is served here") as raised:
        asking.models.retrieve("gpt-9")
    assert (raised.value.code, raised.value.type) == ("model_not_found", "invalid_request_error")


def test_langchains_class_embeds_documents_and_queries(client: httpx.Client) -> None:
    embeddings = OpenAIEmbeddings(
        model="fashion", base_url=f"{client.base_url}/v1", api_key="none", check_embedding_ctx_length=False
    )
    assert embeddings.embed_documents(["red", "blue star"]) == [
        embedded(client, text="red"), embedded(client, text="blue star")
    ]  # fmt: skip
    assert embeddings.embed_query("red") == embedded(client, text="red")
    short = OpenAIEmbeddings(
        model="fashion",
        base_url=f"{client.base_url}/v1",
        api_key="none",
        check_embedding_ctx_length=False,
        dimensions=4,
    )
    assert len(short.embed_query("red")) == 4


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_arrays_are_refused_with_what_to_do_in_langchain(asking: openai.OpenAI, tokens: Any) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="check_embedding_ctx_length=False"):
        asking.embeddings.create(model="fashion", input=tokens)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "input"),
        ({"input": ""}, 422, "input"),
        ({"input": []}, 422, "input"),
        ({"input": ["red", ""]}, 422, "input[1]"),
        ({"input": ["red", 5]}, 422, "input[1]"),
        ({"input": ["red", None]}, 422, "input[1]"),
        ({"input": {"type": "video_url", "video_url": "x"}}, 422, "input"),
        ({"input": {"type": ["text"]}}, 422, "input"),
        ({"input": {"type": "text"}}, 422, "input"),
        ({"input": {"content": []}}, 422, "input"),
        ({"input": {"content": [{"type": "text", "text": "a"}] * 2}}, 422, "input"),
        ({"input": {"type": "image_url", "image_url": {"url": "https://img.example/1.jpg"}}}, 422, "input"),
        ({"input": ["data:image/png;base64,QUJD", "@"], "modality": "image"}, 422, "input[1]"),
        ({"input": [uri(b"no image"), uri(image_file("red"))], "modality": "image"}, 415, "input[0]"),
        ({"input": uri(b"no image"), "modality": "image"}, 415, "input"),
        ({"input": "AAAA", "modality": "audio"}, 422, "input"),
        ({"input": "red", "modality": "smell"}, 422, "modality"),
        ({"input": "red", "encoding_format": "hex"}, 422, "encoding_format"),
        ({"input": "red", "dimensions": 0}, 422, "dimensions"),
        ({"input": "red", "dimension": 4}, 422, "dimension"),
        ({"input": "x" * 10_001}, 413, "input"),
        ({"input": ["x"] * 1_001}, 413, "input"),
        ({"input": "red", "model": "fashion@9"}, 404, None),
        ({"input": uri(image_file("red")), "modality": "image", "model": "words"}, 422, "input"),
    ],
)
def test_a_fault_is_told_as_openai_and_as_all_routes_do(
    client: httpx.Client, body: object, status: int, param: str | None
) -> None:
    answer = client.post("/v1/embeddings", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert problem["error"]["message"] == problem["detail"]
    assert (problem["error"]["type"], problem["error"]["param"]) == ("invalid_request_error", param)
    assert param is None or problem["detail"].startswith(f"{param}: ")


def test_a_bearer_is_an_api_key(start: Start) -> None:
    client = start(require_key="all", api_keys=hash_key(b"a-key-of-the-shop"))
    with openai_of(client, api_key="a-key-of-the-shop") as known, openai_of(client, api_key="sk-other") as other:
        assert len(known.embeddings.create(model="fashion", input="red").data) == 1
        with pytest.raises(openai.AuthenticationError) as raised:
            other.embeddings.create(model="fashion", input="red")
    assert (raised.value.code, raised.value.type) == ("invalid_api_key", "authentication_error")


@pytest.mark.clock
def test_a_refusal_of_the_door_and_a_fault_of_ours_are_told_in_openais_words(
    start: Start, engine: FakeEngine
) -> None:
    client = start()
    with openai_of(client) as asking:
        with pytest.raises(openai.InternalServerError) as raised:
            asking.with_options(default_headers={"X-Request-Timeout-Ms": "1"}).embeddings.create(
                model="fashion", input="red"
            )
        assert (raised.value.status_code, raised.value.type) == (504, "server_error")
        engine.broken = True
        with pytest.raises(openai.InternalServerError) as broken:
            asking.embeddings.create(model="fashion", input="red")
        assert (broken.value.status_code, broken.value.type) == (500, "server_error")
