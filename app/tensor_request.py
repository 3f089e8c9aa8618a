"""A body of the Open Inference Protocol to tensors.

A body is JSON, or JSON with the tensors' bytes behind it; a header says where the JSON ends. Knows datatypes and
shapes; knows no model, and no tensor by name."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.body import parse_json
from app.errors import MalformedError
from app.tensor_answer import Wanted
from models.errors import InputError, TooLargeError

HEADER = "Inference-Header-Content-Length"
_LENGTH_BYTES = 4  # before each element of a BYTES tensor, little-endian
_MAX_NAME_CHARACTERS = 100  # of one that is quoted in an answer


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor that came in.

    values: of BYTES, the elements in order, as bytes where they came in binary and as strings from JSON; of UINT8
        an array of `shape`.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[bytes | str] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorRequest:
    """A body of /infer, read. `outputs` None is whatever the model has; `binary` is for those that say nothing."""

    id: str | None = None
    inputs: Mapping[str, Tensor]
    outputs: Sequence[Wanted] | None = None
    binary: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_request(body: bytes, header: str | None, *, max_json_values: int, max_items: int) -> TensorRequest:
    """Read a body.

    Args:
        body: all of it.
        header: the value of HEADER: how many bytes are JSON; None where all of them are.
        max_json_values: limit on what the JSON is made of, in commas and brackets.
        max_items: limit on the elements of a BYTES tensor.

    Raises:
        MalformedError: broken JSON, or bytes that are not what the JSON says.
        InputError: what the protocol does not know; `TooLargeError` for more than the limits.
    """
    num_bytes = len(body)
    if header is not None:
        if not (header.isascii() and header.isdigit() and len(header) < 12 and int(header) <= len(body)):
            raise MalformedError(f"{HEADER}: must be the number of bytes of JSON that the body begins with.")
        num_bytes = int(header)
    values = parse_json(body[:num_bytes], max_json_values).values
    _only(values, ("id", "parameters", "inputs", "outputs"), "body")
    parameters = dict(_object(values.get("parameters", {}), "parameters"))
    binary = _boolean(parameters.pop("binary_data_output", False), "binary_data_output")
    rest = _Rest(memoryview(body)[num_bytes:])
    inputs = [_input(value, rest, max_items) for value in _list(values.get("inputs"), "inputs")]
    if rest.num_left:
        raise MalformedError(f"{rest.num_left:,} bytes are left over behind the tensors. Check binary_data_size.")
    outputs = values.get("outputs")
    request = TensorRequest(
        id=_string(values["id"], "id") if "id" in values else None,
        inputs={tensor.name: tensor for tensor in inputs},
        outputs=None if not outputs else [_wanted(value, binary) for value in _list(outputs, "outputs")],
        binary=binary,
        parameters=parameters,
    )
    for names, field_name in ((inputs, "inputs"), (request.outputs or (), "outputs")):
        if len({tensor.name for tensor in names}) != len(names):
            raise InputError(field_name, "a tensor is named twice. Name each once.")
    return request


class _Rest:
    """The bytes behind the JSON, taken from front to back."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    @property
    def num_left(self) -> int:
        return len(self._data)

    def take(self, size: object, name: str) -> memoryview:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(self._data):
            raise MalformedError(
                f"{name}: binary_data_size must be the number of this tensor's bytes in the body."
            )
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _input(value: object, rest: _Rest, max_items: int) -> Tensor:
    fields = _object(value, "inputs")
    _only(fields, ("name", "shape", "datatype", "parameters", "data"), "inputs")
    name = _string(fields.get("name"), "inputs.name")
    shown = name[:_MAX_NAME_CHARACTERS]
    shape = _shape(fields.get("shape"), shown)
    datatype = _string(fields.get("datatype"), shown, "a datatype")
    parameters = _object(fields.get("parameters", {}), shown)
    if datatype not in ("BYTES", "UINT8"):
        raise InputError(
            shown, f"the datatype {datatype[:20]!r} is not taken here. Send BYTES, or UINT8 for pixels."
        )
    if datatype == "BYTES" and math.prod(shape) > max_items:
        raise TooLargeError(
            shown, f"{math.prod(shape):,} elements; the limit is {max_items:,}. Send several batches."
        )
    if "binary_data_size" not in parameters:
        return Tensor(name, datatype, shape, _from_json(fields.get("data"), datatype, shape, shown))
    if "data" in fields:
        raise InputError(shown, "has data and binary_data_size. Send one of them.")
    data = rest.take(parameters["binary_data_size"], shown)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _elements(data, math.prod(shape), shown))
    if len(data) != math.prod(shape):
        raise MalformedError(f"{shown}: {len(data):,} bytes are not what the shape {list(shape)} needs.")
    return Tensor(name, datatype, shape, np.frombuffer(data, np.uint8).reshape(shape))


def _elements(data: memoryview, count: int, name: str) -> list[bytes]:
    """The elements of a BYTES tensor: each has its length before it."""
    elements: list[bytes] = []
    at = 0
    while at < len(data) and len(elements) < count:
        if at + _LENGTH_BYTES > len(data):
            break
        (length,) = struct.unpack_from("<I", data, at)
        at += _LENGTH_BYTES
        elements.append(bytes(data[at : at + length]))
        at += length
    if at != len(data) or len(elements) != count:
        raise MalformedError(
            f"{name}: the bytes are not {count:,} elements, each with its length in four bytes before it."
        )
    return elements


def _from_json(
    data: object, datatype: str, shape: tuple[int, ...], name: str
) -> Sequence[str] | NDArray[np.uint8]:
    flat: list[Any] = []
    waiting: list[object] = [data]
    while waiting:  # nested or flat, as a client likes
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        else:
            flat.append(value)
    if not isinstance(data, list) or len(flat) != math.prod(shape):
        raise InputError(name, f"data must be a list with as many values as the shape {list(shape)} has.")
    if datatype == "BYTES":
        if not all(isinstance(value, str) for value in flat):
            raise InputError(name, "data must hold strings: texts, or files as base64.")
        return flat
    if not all(type(value) is int and 0 <= value <= 255 for value in flat):
        raise InputError(name, "data must hold whole numbers from 0 to 255.")
    return np.array(flat, np.uint8).reshape(shape)


def _wanted(value: object, binary: bool) -> Wanted:
    fields = _object(value, "outputs")
    _only(fields, ("name", "parameters"), "outputs")
    name = _string(fields.get("name"), "outputs.name")
    shown = name[:_MAX_NAME_CHARACTERS]
    parameters = _object(fields.get("parameters", {}), shown)
    _only(parameters, ("binary_data", "classification"), shown)
    num_classes = parameters.get("classification", 0)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or not 0 <= num_classes <= 1_000_000:
        raise InputError(shown, "classification must be a whole number of labels, from 1.")
    return Wanted(name, _boolean(parameters.get("binary_data", binary), shown), num_classes)


def _shape(value: object, name: str) -> tuple[int, ...]:
    sizes = value if isinstance(value, list) and len(value) <= 8 else [None]
    if any(isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**31 for size in sizes):
        raise InputError(name, "shape must be a list of whole numbers, e.g. [1].")
    return tuple(sizes)


def _only(fields: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    for name in fields:
        if name not in allowed:
            raise InputError(where, f"{name[:60]!r} is not known here. There are: {', '.join(allowed)}.")


def _object(value: object, field_name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(field_name, "must be a JSON object.")
    return value


def _list(value: object, field_name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError(field_name, "must be a list of at least one object, each a tensor.")
    return value


def _string(value: object, field_name: str, noun: str = "a string") -> str:
    if not isinstance(value, str) or not value:
        raise InputError(field_name, f"must be {noun}.")
    return value


def _boolean(value: object, field_name: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(field_name, "must be true or false.")
    return value
