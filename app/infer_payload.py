"""Tensors to the items that they hold: what /predict would have been sent, a row each.

Knows which tensors there are; knows no model and decodes no file."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from app import strict_json
from app.fields import FieldReader, File, RawFields
from app.media import MEDIA
from app.payload import MODALITY_FIELDS, RETRIEVAL_FIELDS, PredictRequest, check_matches, read_predict
from app.settings import Settings
from app.tensor_answer import Wanted
from app.tensor_request import Tensor, TensorRequest, read_request
from app.upload import Upload
from models.errors import InputError, TooLargeError

T = TypeVar("T")

MATCH_OUTPUTS = ("match_ids", "match_scores")
PARAMETERS = (*RETRIEVAL_FIELDS, "gallery")
"""Of a request: the fields of /predict that say which matches are wanted. Any of them asks for matches."""

OBJECTS = ("sensors",)
"""Inputs whose elements are texts of JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A checked request of /infer.

    outputs: None is whatever the model has. binary: whether those come in binary.
    """

    id: str | None
    items: Sequence[PredictRequest]
    outputs: Sequence[Wanted] | None
    binary: bool


def read_infer(body: bytes, header: str | None, settings: Settings) -> InferRequest:
    """Check a body; see `read_request` for `header`.

    Raises:
        MalformedError: the body is not what it says it is.
        InputError: an unknown tensor or parameter, tensors of different lengths, or an item that /predict would
            refuse. Where there are several, it names the row.
        QueryError: a faulty filter.
    """
    request = read_request(
        body, header, max_json_values=settings.max_json_values, max_items=settings.max_items_per_batch
    )
    columns = {name: _column(tensor, settings) for name, tensor in request.inputs.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise InputError(
            "inputs", "tensors of different lengths. The first number of each shape counts the items."
        )
    [num_items] = lengths
    asked = _asked(request, settings)
    items = [_at_row(row, num_items, partial(_item, columns, row, asked, settings)) for row in range(num_items)]
    check_matches(items, settings)
    return InferRequest(
        id=request.id,
        items=items,
        outputs=request.outputs,
        binary=request.binary,
    )


def _at_row(row: int, num_rows: int, read: Callable[[], T]) -> T:
    """What `read` returns; an InputError that it raises of one of several rows says of which."""
    try:
        return read()
    except InputError as error:
        raise named_row(error, row, num_rows) from None


def named_row(error: InputError, row: int, num_rows: int) -> InputError:
    """The error, with the row, from 0, behind its field where there are several."""
    return error if num_rows == 1 else type(error)(f"{error.field}[{row}]", error.detail)


def _asked(request: TensorRequest, settings: Settings) -> Mapping[str, Any]:
    """The fields of /predict that all items have: no matches, unless something speaks of them."""
    parameters = dict(request.parameters)
    for name in parameters:
        if name not in PARAMETERS:
            known = ", ".join(("binary_data_output", *PARAMETERS))
            raise InputError("parameters", f"{name[:60]!r} is not known here. There are: {known}.")
    if isinstance(where := parameters.get("filter"), str):
        try:
            parameters["filter"] = strict_json.parse(where, settings.max_json_values, "filter")
        except ValueError as error:
            raise InputError("filter", f"must be JSON, as text or as it is: {error}.") from None
    wanted = request.outputs or ()
    matches = bool(parameters) or any(output.name in MATCH_OUTPUTS for output in wanted)
    return {**{name: value for name, value in parameters.items() if value not in (None, "")}, "retrieve": matches}


def _item(
    columns: Mapping[str, Sequence[Any]], row: int, asked: Mapping[str, Any], settings: Settings
) -> PredictRequest:
    present = {name: value for name, column in columns.items() if (value := column[row]) is not None}
    return read_predict(RawFields({**asked, **present}), settings)


def _column(tensor: Tensor, settings: Settings) -> Sequence[Any]:
    """What each row holds, as a form or JSON would have brought it; None where it holds nothing."""
    name, shape = tensor.name, tensor.shape
    if name not in MODALITY_FIELDS:
        known = ", ".join(MODALITY_FIELDS)
        raise InputError("inputs", f"no tensor {name[:60]!r} is taken here. There are: {known}.")
    if not shape or shape[0] < 1:
        raise InputError(name, "its shape must begin with the number of items, at least 1.")
    if shape[0] > settings.max_items_per_batch:
        limit = settings.max_items_per_batch
        raise TooLargeError(name, f"{shape[0]:,} items; the limit is {limit:,}. Send several batches.")
    if isinstance(tensor.values, np.ndarray):
        if name != "image" or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InputError(name, "UINT8 is for images: RGB pixels of the shape [items, height, width, 3].")
        return [File(name, Upload.of(_bmp(pixels), settings.spool_bytes)) for pixels in tensor.values]
    if len(tensor.values) != shape[0]:
        raise InputError(name, "BYTES have one element for each item: the shape [items] or [items, 1].")
    return [
        _at_row(row, shape[0], partial(_element, name, value, settings)) for row, value in enumerate(tensor.values)
    ]


def _element(name: str, value: bytes | str, settings: Settings) -> Any:
    """A string, a File, or what JSON says; None for nothing."""
    if not value:
        return None
    if isinstance(value, bytes) and name in MEDIA:
        return File(name, Upload.of(value, settings.spool_bytes))
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise InputError(name, "an element is not UTF-8 text. Send it as UTF-8.") from None
    return (
        FieldReader(RawFields({name: text}, textual=True), (name,), settings).json(name)
        if name in OBJECTS
        else text
    )


def _bmp(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """A file of these very pixels, (H, W, 3): so they go the one way that files go, with all of its limits."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()
