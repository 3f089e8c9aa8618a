"""Bodies of the Open Inference Protocol: whatever comes is read or refused, and what is written can be read."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferResult

from app.errors import MalformedError
from app.infer_payload import read_infer
from app.settings import Settings
from app.tensor_answer import TensorOut, Wanted, write_answer
from app.tensor_request import read_request
from models.errors import InputError
from retrieval.errors import QueryError

SETTINGS = Settings(max_items_per_batch=4, max_json_values=50)
LIMITS = {"max_json_values": 50, "max_items": 4}

values = st.none() | st.booleans() | st.integers(-2, 300) | st.sampled_from(["red", "", "QUJD", 'data:,"'])
shapes = st.lists(st.integers(-1, 3) | st.just(2**40), max_size=5)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["image", "text", "audio", "sensors", "x"]) | values,
        "shape": shapes | values,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | values,
        "data": st.recursive(values, lambda inner: st.lists(inner, max_size=4), max_leaves=8),
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 40) | values}),
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "id": values,
        "inputs": st.lists(tensors, max_size=3) | values,
        "outputs": st.lists(st.fixed_dictionaries({"name": values}), max_size=2) | values,
        "parameters": st.dictionaries(st.sampled_from(["top_k", "filter", "binary_data_output"]), values),
    },
)


@given(st.binary(max_size=60), st.none() | st.integers(-1, 70).map(str) | st.text(max_size=3))
def test_arbitrary_bytes_are_malformed_or_invalid(body: bytes, header: str | None) -> None:
    with pytest.raises((MalformedError, InputError)):
        read_request(body, header, **LIMITS)


@given(bodies, st.binary(max_size=40))
def test_whatever_is_said_of_tensors_is_read_or_refused(body: dict[str, Any], tail: bytes) -> None:
    head = json.dumps(body).encode()
    with suppress(MalformedError, InputError, QueryError):
        request = read_infer(head + tail, str(len(head)), SETTINGS)
        assert 1 <= len(request.items) <= 4


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4))
def test_elements_are_cut_where_their_lengths_say(elements: list[bytes]) -> None:
    tail = b"".join(len(one).to_bytes(4, "little") + one for one in elements)
    size = {"binary_data_size": len(tail)}
    tensor = {
        "name": "image", "datatype": "BYTES", "shape": [len(elements)], "parameters": size
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor]}).encode()
    [found] = read_request(head + tail, str(len(head)), **LIMITS).inputs.values()
    assert list(found.values) == elements
    for cut in range(len(tail)):
        with pytest.raises(MalformedError):
            read_request(head + tail[:cut], str(len(head)), **LIMITS)


@given(st.booleans(), st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1))
def test_what_is_written_is_what_tritons_client_reads(binary: bool, texts: list[str]) -> None:
    numbers = np.arange(len(texts) * 3, dtype=np.float32).reshape(-1, 3) / 7
    body, num_json_bytes = write_answer(
        {"model_name": "m", "model_version": "1"},
        [
            TensorOut(Wanted("numbers", binary), numbers.shape, numbers),
            TensorOut(Wanted("texts", binary), (len(texts),), texts),
        ],
    )
    assert (num_json_bytes is not None) == binary
    result = InferResult.from_response_body(body, header_length=num_json_bytes)
    assert (result.as_numpy("numbers") == numbers).all()
    found = result.as_numpy("texts")
    assert [one.decode() if isinstance(one, bytes) else one for one in found] == texts
