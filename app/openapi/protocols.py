"""What the OpenAPI document says by hand of the routes that speak others' protocols."""

from typing import Any

from pydantic import BaseModel

from app.body import JSON
from app.embeddings_payload import ENCODINGS, PARTS, STRINGS
from app.errors import PROBLEM_MEDIA_TYPE
from app.infer_payload import PARAMETERS
from app.openapi.bodies import Schema
from app.openapi.problems import PROBLEMS
from app.payload import MODALITY_FIELDS
from app.tensor_request import HEADER

OCTETS = "application/octet-stream"


def problems(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The problems, each as `model` has it."""
    schema = model.model_json_schema()
    return {
        status: {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
        for status, text in PROBLEMS.items()
    }


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


_STRING: Schema = {"type": "string", "minLength": 1}
_SHAPE: Schema = {"type": "array", "maxItems": 8, "items": {"type": "integer", "minimum": 0}}
_DATA: Schema = {"type": "array", "description": "Row by row, nested or flat; strings of BYTES, numbers else."}
_BINARY_SIZE: Schema = {
    "type": "integer",
    "minimum": 0,
    "description": f"Of the tensor's bytes behind the JSON, where {HEADER} says how long that is.",
}
_IN: Schema = _object(
    ["name", "shape", "datatype"],
    name={"type": "string", "enum": list(MODALITY_FIELDS)},
    shape={**_SHAPE, "description": "The number of items; of pixels, [items, height, width, 3]."},
    datatype={"type": "string", "enum": ["BYTES", "UINT8"], "description": "UINT8 for pixels in RGB."},
    parameters={"type": "object", "properties": {"binary_data_size": _BINARY_SIZE}},
    data=_DATA,
)
_WANTED: Schema = _object(
    ["name"],
    name=_STRING,
    parameters=_object(
        [],
        binary_data={"type": "boolean", "description": "Whether its bytes come behind the JSON."},
        classification={
            "type": "integer",
            "minimum": 0,
            "description": 'Of a head\'s scores: so many of the best, each as "score:index:label".',
        },
    ),
)
_RETRIEVAL: dict[str, Schema] = {name: {"description": "As in /predict."} for name in PARAMETERS}
_REQUEST: Schema = _object(
    ["inputs"],
    id={**_STRING, "description": "Comes back with the answer."},
    inputs=_list(_IN),
    outputs={"type": "array", "items": _WANTED, "description": "All but the matches, where left out."},
    parameters=_object(
        [],
        binary_data_output={
            "type": "boolean",
            "default": False,
            "description": "Whether outputs that say nothing of it come behind the JSON.",
        },
        **_RETRIEVAL,
    ),
)
_OUT: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": _STRING,
        "shape": _SHAPE,
        "datatype": {"type": "string", "enum": ["FP32", "BYTES"]},
        "parameters": {"type": "object", "properties": {"binary_data_size": _BINARY_SIZE}},
        "data": _DATA,
    },
}
_ANSWER: Schema = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": _STRING,
        "model_version": _STRING,
        "id": _STRING,
        "outputs": _list(_OUT),
    },
}
_OCTETS: Schema = {"type": "string", "format": "binary", "description": "The JSON, and the tensors' bytes."}
INFER: Schema = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "integer", "minimum": 0},
            "description": "How many bytes of the body are JSON; all of them without it.",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": _REQUEST}, OCTETS: {"schema": _OCTETS}},
    },
    "responses": {
        "200": {
            "description": f"The tensors; {HEADER} is there where some are in binary",
            "content": {JSON: {"schema": _ANSWER}, OCTETS: {"schema": _OCTETS}},
        }
    },
}

_PART: Schema = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "enum": list(PARTS)},
        "text": {"type": "string"},
        "image_url": {"description": 'A data: URI, or {"url": one}.'},
        "audio_url": {"description": 'A data: URI, or {"url": one}.'},
        "input_audio": {"type": "object", "description": '{"data": base64, "format": "wav"}.'},
        "sensors": {"type": "object", "description": "Readings by channel, as in /embed."},
    },
}
_ITEM: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        _PART,
        _object(["content"], content=_list(_PART)),
    ],
    "description": "What `modality` says; or a content part; or parts of different modalities, for one vector.",
}
EMBEDDINGS: Schema = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": _object(
                    ["input"],
                    input={"anyOf": [_ITEM, _list(_ITEM)]},
                    model={"type": "string", "description": "A name, or name@version; the default without it."},
                    modality={
                        "type": "string",
                        "enum": list(STRINGS),
                        "default": "text",
                        "description": "What strings in `input` are. Files are data: URIs or base64.",
                    },
                    encoding_format={"type": "string", "enum": list(ENCODINGS), "default": "float"},
                    dimensions={
                        "type": "integer",
                        "minimum": 1,
                        "description": "So many of the first numbers, made a vector of unit norm.",
                    },
                    user={"type": "string", "description": "Not looked at."},
                )
            }
        },
    },
}
