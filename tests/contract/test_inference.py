"""/v2, asked by Triton's own client, and by hand where that sends nothing wrong."""

import base64
import io
import json
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from app.keys import hash_key
from app.settings import Settings
from app.tensor_request import HEADER
from tests.contract.conftest import Start
from tests.fakes import image_file, make_hearing_service, recording, serving

COLOURS = ("red", "blue", "#804020")


def triton_of(client: httpx.Client) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}")


@pytest.fixture
def asking(client: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    with triton_of(client) as asking:
        yield asking


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("hearing")
    with serving(Settings(num_workers=2), partial(make_hearing_service, folder, first="speech")) as client:
        yield client


def files(*data: bytes, name: str = "image", binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array(data, object), binary_data=binary)
    return tensor


def texts(*values: str, binary: bool = True) -> triton.InferInput:
    return files(*(value.encode() for value in values), name="text", binary=binary)


def predicted(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"num_labels": 0, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def scores(result: triton.InferResult, head: str, row: int) -> dict[str, float]:
    # In binary they are bytes, in JSON strings.
    labels = [
        str(label, "utf-8") if isinstance(label, bytes) else label for label in result.as_numpy(f"{head}.labels")
    ]
    return dict(zip(labels, (round(float(score), 6) for score in result.as_numpy(head)[row]), strict=True))


def assert_equals(result: triton.InferResult, row: int, answer: dict[str, Any]) -> None:
    for head, found in answer["classes"].items():
        assert scores(result, head, row) == {entry["label"]: entry["score"] for entry in found}


def by_hand(
    client: httpx.Client, body: object, tail: bytes = b"", path: str = "/v2/models/fashion/infer"
) -> httpx.Response:
    head = json.dumps(body).encode()
    return client.post(path, content=head + tail, headers={HEADER: str(len(head))} if tail else {})


def test_the_server_and_its_models_are_described(asking: triton.InferenceServerClient) -> None:
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert asking.is_model_ready("fashion")
    assert asking.is_model_ready("fashion", "1")
    assert not asking.is_model_ready("nowhere")
    assert not asking.is_model_ready("fashion", "7")
    assert asking.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
    described = asking.get_model_metadata("fashion", "2")
    assert (described["name"], described["versions"]) == ("fashion", ["2", "1"])
    assert described["inputs"] == [
        {"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("image", "text")
    ]
    assert [tuple(output.values()) for output in described["outputs"]] == [
        ("shape", "FP32", [-1, 3]),
        ("shape.labels", "BYTES", [3]),
        ("colour", "FP32", [-1, 2]),
        ("colour.labels", "BYTES", [2]),
        ("embedding", "FP32", [-1, 8]),
        ("match_ids", "BYTES", [-1, -1]),
        ("match_scores", "FP32", [-1, -1]),
    ]
    assert [tensor["name"] for tensor in asking.get_model_metadata("words")["inputs"]] == ["text"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_scores_and_embeddings_are_those_of_predict(
    asking: triton.InferenceServerClient, client: httpx.Client, binary_in: bool, binary_out: bool
) -> None:
    pictures = [image_file(colour) for colour in COLOURS]
    words = ["red", "a blue star", "star"]
    sent = pictures if binary_in else [base64.b64encode(picture) for picture in pictures]
    wanted = ["shape", "shape.labels", "colour", "colour.labels", "embedding"]
    result = asking.infer(
        "fashion",
        [files(*sent, binary=binary_in), texts(*words, binary=binary_in)],
        outputs=[triton.InferRequestedOutput(name, binary_data=binary_out) for name in wanted],
        request_id="mine",
    )
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("fashion", "2", "mine")
    assert [output["name"] for output in head["outputs"]] == wanted
    assert all(("data" in output) is not binary_out for output in head["outputs"])
    for row, (picture, text) in enumerate(zip(pictures, words, strict=True)):
        fields = {"image": base64.b64encode(picture).decode(), "text": text}
        assert_equals(result, row, predicted(client, **fields))
        embedded = client.post("/embed", json=fields).json()["embedding"]
        assert result.as_numpy("embedding")[row].tolist() == embedded


def test_all_outputs_come_unless_some_are_named_and_in_binary_where_the_request_says_so(
    asking: triton.InferenceServerClient,
) -> None:
    result = asking.infer("fashion", [texts("red")])  # tritonclient then asks for binary_data_output
    names = [output["name"] for output in result.get_response()["outputs"]]
    assert names == ["shape", "shape.labels", "colour", "colour.labels", "embedding"]
    assert result.as_numpy("embedding").shape == (1, 8)
    assert all("binary_data_size" in output["parameters"] for output in result.get_response()["outputs"])


def test_pixels_are_what_a_file_of_them_is(asking: triton.InferenceServerClient, client: httpx.Client) -> None:
    # Of more than four times the model's side, so that both are reduced alike; and of no even width.
    pixels = np.random.default_rng(0).integers(0, 256, (2, 131, 77, 3), dtype=np.uint8)
    tensor = triton.InferInput("image", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    result = asking.infer("fashion", [tensor])
    for row, own in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(own).save(file, "PNG")
        assert_equals(result, row, predicted(client, image=base64.b64encode(file.getvalue()).decode()))
    small = triton.InferInput("image", [1, 2, 2, 3], "UINT8")
    small.set_data_from_numpy(pixels[:1, :2, :2], binary_data=False)
    assert asking.infer("fashion", [small]).as_numpy("colour").shape == (1, 2)


def test_an_empty_element_is_an_absent_input(asking: triton.InferenceServerClient, client: httpx.Client) -> None:
    red, blue = image_file("red"), image_file("blue")
    result = asking.infer("fashion", [files(red, b"", blue), texts("", "star", "blue")])
    assert_equals(result, 0, predicted(client, image=base64.b64encode(red).decode()))
    assert_equals(result, 1, predicted(client, text="star"))
    assert_equals(result, 2, predicted(client, image=base64.b64encode(blue).decode(), text="blue"))
    with pytest.raises(InferenceServerException, match=r"\[1\]: nothing to look at"):
        asking.infer("fashion", [files(red, b""), texts("red", "")])


def test_classes_are_written_as_triton_writes_them(asking: triton.InferenceServerClient) -> None:
    wanted = triton.InferRequestedOutput("colour", class_count=1)
    result = asking.infer("fashion", [texts("red", "blue")], outputs=[wanted])
    best = [entry.decode().split(":")[1:] for entry in result.as_numpy("colour").ravel()]
    assert result.as_numpy("colour").shape == (2, 1)
    assert best == [["1", "red"], ["0", "blue"]]
    with pytest.raises(InferenceServerException, match="classification is for the scores"):
        asking.infer("fashion", [texts("red")], outputs=[triton.InferRequestedOutput("embedding", class_count=1)])


def test_matches_come_where_a_parameter_speaks_of_them(
    asking: triton.InferenceServerClient, client: httpx.Client
) -> None:
    result = asking.infer(
        "fashion", [texts("red", "star")], parameters={"top_k": 2, "filter": '{"labels.colour": "red"}'}
    )
    for row, text in enumerate(("red", "star")):
        matches = predicted(client, text=text, top_k=2, filter={"labels.colour": "red"})["matches"]
        assert [name.decode() for name in result.as_numpy("match_ids")[row]] == [match["id"] for match in matches]
        assert result.as_numpy("match_scores")[row] == pytest.approx([match["score"] for match in matches])
    named = asking.infer("fashion", [texts("red")], outputs=[triton.InferRequestedOutput("match_ids")])
    assert named.as_numpy("match_ids").shape == (1, 4)
    with pytest.raises(InferenceServerException, match="has none named 'match_ids'"):
        asking.infer("words", [texts("red")], outputs=[triton.InferRequestedOutput("match_ids")])
    with pytest.raises(InferenceServerException, match="'topk' is not known here"):
        asking.infer("fashion", [texts("red")], parameters={"topk": 2})


def test_recordings_are_heard_and_written_down(hearing: httpx.Client) -> None:
    said, silence = recording(0, 1, 1, 0), recording(0, 0)
    with triton_of(hearing) as asking:
        assert {"name": "transcript", "datatype": "BYTES", "shape": [-1]} in asking.get_model_metadata("speech")[
            "outputs"
        ]
        result = asking.infer("speech", [files(said, silence, b"", name="audio"), texts("", "red", "red")])
    transcripts = [text.decode() for text in result.as_numpy("transcript")]
    answer = hearing.post("/transcribe", content=said, headers={"Content-Type": "audio/wav"}).json()
    assert transcripts == [answer["text"], "", ""]
    assert answer["text"]
    assert_equals(result, 0, predicted(hearing, audio=base64.b64encode(said).decode()))
    only = hearing.post(
        "/v2/models/speech/infer",
        json={
            "inputs": [
                {"name": "audio", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(said).decode()]}
            ],
            "outputs": [{"name": "transcript"}],
        },
    )
    assert only.json()["outputs"] == [
        {"name": "transcript", "datatype": "BYTES", "shape": [1], "data": [answer["text"]]}
    ]


@pytest.mark.parametrize(
    ("model", "version", "word"),
    [("fashion", "1", "1"), ("fashion", "", "2"), ("words", "1", "1")],
)
def test_every_model_and_version_answers(
    asking: triton.InferenceServerClient, model: str, version: str, word: str
) -> None:
    result = asking.infer(model, [texts("red")], model_version=version)
    assert result.get_response()["model_name"] == model
    assert result.get_response()["model_version"] == word


def input_of(**changes: object) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["red"], **changes}]}


@pytest.mark.parametrize(
    ("body", "tail", "status", "fault"),
    [
        ({}, b"", 422, "inputs"),
        ({"inputs": []}, b"", 422, "inputs"),
        ({"input": 1}, b"", 422, "'input' is not known"),
        (input_of(name="sound"), b"", 422, "There are: image, text, audio"),
        (input_of(datatype="FP32"), b"", 422, "FP32"),
        (input_of(datatype="UINT8", data=[1]), b"", 422, "UINT8 is for images"),
        (input_of(shape=[2]), b"", 422, "as many values"),
        (input_of(shape=[0], data=[]), b"", 422, "number of items"),
        (input_of(shape=[-1]), b"", 422, "shape"),
        (input_of(shape=[2**40]), b"", 422, "shape"),
        (input_of(shape=[1, 2], data=["a", "b"]), b"", 422, "one element for each item"),
        (input_of(shape=[1001], data=["a"] * 1001), b"", 413, "1,001 elements"),
        (input_of(data=[1]), b"", 422, "strings"),
        (input_of(name="image", data=["@"]), b"", 422, "not base64"),
        (input_of(name="image", data=[base64.b64encode(b"GIF").decode()]), b"", 415, "not an image"),
        (input_of(name="audio", data=["AAAA"]), b"", 422, "does not know it"),
        ({**input_of(), "outputs": [{"name": "size"}]}, b"", 422, "none named 'size'"),
        ({**input_of(), "outputs": [{"name": "colour"}] * 2}, b"", 422, "named twice"),
        ({**input_of(), "parameters": {"binary_data_output": 1}}, b"", 422, "true or false"),
        ({**input_of(), "parameters": {"filter": "{"}}, b"", 422, "filter"),
        ({**input_of(), "parameters": {"filter": {"colour": 1}}}, b"", 422, "filter"),
        ({**input_of(), "parameters": {"top_k": 0}}, b"", 422, "top_k"),
        (input_of(), b"tail", 400, "4 bytes are left over"),
    ],
)  # fmt: skip
def test_a_fault_is_told_as_the_protocol_and_as_all_routes_do(
    client: httpx.Client, body: object, tail: bytes, status: int, fault: str
) -> None:
    answer = by_hand(client, body, tail)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["error"] == problem["detail"]
    assert fault in problem["error"]


@pytest.mark.parametrize(
    ("size", "tail"),
    [
        (7, struct.pack("<I", 3) + b"re"),
        (6, struct.pack("<I", 3) + b"re"),
        (9, struct.pack("<I", 3) + b"redd!"),
        (8, struct.pack("<I", 2**32 - 1) + b"redd"),
        (3, b"red"),
        (0, b"x"),
        (-1, b"red"),
    ],
)
def test_bytes_that_are_not_what_the_json_says_are_malformed(client: httpx.Client, size: int, tail: bytes) -> None:
    body = {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}]
    }
    assert by_hand(client, body, tail).status_code == 400


@pytest.mark.parametrize("length", ["5", "99999", "-1", "x", "9" * 30, "²"])
def test_a_wrong_length_of_the_json_is_malformed(client: httpx.Client, length: str) -> None:
    headers = {HEADER: length.encode()}
    answer = client.post("/v2/models/fashion/infer", content=json.dumps(input_of()), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_pixels_of_another_size_than_their_shape_are_malformed(client: httpx.Client) -> None:
    shape = [1, 2, 2, 3]
    body = {
        "inputs": [{"name": "image", "shape": shape, "datatype": "UINT8", "parameters": {"binary_data_size": 11}}]
    }
    answer = by_hand(client, body, bytes(11))
    assert (answer.status_code, "11 bytes are not" in answer.json()["error"]) == (400, True)


def test_one_faulty_item_fails_the_request_and_is_named(asking: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"image\[1\]: not an image") as raised:
        asking.infer("fashion", [files(image_file("red"), b"no image", image_file("blue"))])
    assert raised.value.status() == "415"


def test_what_is_not_there_is_told_in_the_protocols_words(client: httpx.Client) -> None:
    for path in ("/v2/models/nowhere", "/v2/models/fashion/versions/9/ready", "/v2/nothing"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, answer.json()["detail"])
    assert "error" not in client.get("/nothing").json()


def test_health_is_open_where_all_else_needs_a_key(start: Start) -> None:
    client = start(require_key="all", api_keys=hash_key(b"a-key-of-the-shop"))
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    refused = client.get("/v2/models/fashion")
    assert (refused.status_code, refused.json()["error"]) == (401, refused.json()["detail"])
    with triton_of(client) as asking:
        headers = {"Authorization": "Bearer a-key-of-the-shop"}
        assert asking.infer("fashion", [texts("red")], headers=headers).as_numpy("colour").shape == (1, 2)


def test_a_compressed_body_is_refused_with_the_remedy(asking: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="Send the body uncompressed"):
        asking.infer("fashion", [texts("red")], request_compression_algorithm="gzip")


def test_the_path_of_a_proxy_changes_nothing(seed_folder: Path, start: Start) -> None:
    client = start(root_path="/shop")
    assert client.get("/v2/models/nowhere").json()["error"]
    assert client.get("/shop/v2/models/nowhere").json()["error"]
