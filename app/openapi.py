"""What the OpenAPI document says by hand: bodies that routes read for themselves, and problems."""

from typing import Any

from app.body import FORM, JSON
from app.errors import PROBLEM_MEDIA_TYPE
from app.file_url import MAX_URL_CHARACTERS
from app.label_payload import DEFAULT_TEMPERATURE, LEAST_TEMPERATURE, MAX_LABEL_CHARACTERS, MAX_LABELS
from app.media import MEDIA
from app.payload import MAX_VERSION
from app.schemas.common import Problem
from app.speech_payload import MAX_ALTERNATIVES, MAX_BEAMS

Schema = dict[str, Any]

_FILTER = 'Which items may match, e.g. {"labels.colour": "Red", "metadata.year": {"gte": 2015}}.'


def _file_in_json(noun: str) -> Schema:
    """A file within a JSON body."""
    return {
        "oneOf": [
            {"type": "string", "description": f"{noun.capitalize()}'s file as base64, or as a data: URI."},
            {
                "type": "object",
                "required": ["url"],
                "additionalProperties": False,
                "properties": {"url": {"type": "string", "format": "uri", "maxLength": MAX_URL_CHARACTERS}},
                "description": "Where the file is, by http or https; only where the operator allows its host.",
            },
        ]
    }


_FILE: Schema = {"type": "string", "format": "binary", "description": "A file."}
_JSON_FILES = {modality: _file_in_json(kind.noun) for modality, kind in MEDIA.items()}
_FORM_FILES: dict[str, Schema] = {
    modality: {**_FILE, "description": f"{kind.noun.capitalize()}'s file."} for modality, kind in MEDIA.items()
}
TEXT: Schema = {"type": "string", "description": "A text."}
_READING: Schema = {"type": ["number", "null"]}
_SENSORS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [_READING, {"type": "array", "items": _READING}]},
    "description": "Readings by channel, a number or the newest steps, oldest first; null is a gap. "
    "GET /models/{name} has the channels.",
}
_RETRIEVAL: dict[str, Schema] = {
    "top_k": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 5,
        "description": "Matches wanted.",
    },
    "target": {
        "type": "string",
        "default": "fused",
        "description": "Vectors searched: fused, or those of a modality by its name.",
    },
    "filter": {"type": "object", "description": _FILTER},
}
_PREDICT: dict[str, Schema] = {
    "text": TEXT,
    "sensors": _SENSORS,
    "num_labels": {
        "type": "integer",
        "minimum": 0,
        "default": 5,
        "description": "Labels for each head; 0 is all.",
    },
    "coverage": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "description": "How often the prediction set of each head shall hold the right label, e.g. 0.9. "
        "Without it there are no sets.",
    },
    "explain": {
        "type": "boolean",
        "default": False,
        "description": "Whether to say what the answer rests on: modalities, parts of the image, words.",
    },
    "caption": {"type": "boolean", "default": False, "description": "Whether to write a text about it."},
    "retrieve": {"type": "boolean", "default": True, "description": "Whether matches are wanted."},
    **_RETRIEVAL,
    "gallery": {"type": "string", "description": "The gallery searched: one of the model's; its own without it."},
}
_SEARCH: dict[str, Schema] = {
    "text": TEXT,
    "sensors": _SENSORS,
    "vector": {
        "type": "array",
        "items": {"type": "number"},
        "description": "A vector of this gallery's space.",
    },
    "like": {"type": "string", "description": "The id of an item whose neighbours are wanted."},
    "weights": {
        "type": "object",
        "additionalProperties": {"type": "number"},
        "description": 'How much each modality counts, e.g. {"image": 0.7, "text": 0.3}; without it, as fused.',
    },
    "min_score": {"type": "number", "default": -1, "description": "Least cosine of a match."},
    "group_by": {
        "type": "string",
        "description": "A field, e.g. labels.colour: of items with an equal value there, only the best matches.",
    },
    "after": {"type": "string", "description": "The `next` of the answer before: the page after that one."},
    **_RETRIEVAL,
}


def _object(properties: dict[str, Schema], **more: object) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _as_text(properties: dict[str, Schema]) -> dict[str, Schema]:
    """Fields of a form or a query, where an object is a string of JSON."""
    json_text = {"type": "string", "contentMediaType": JSON}
    return {
        name: {**schema, **json_text} if schema.get("type") in ("object", "array") else schema
        for name, schema in properties.items()
    }


def _body(content: dict[str, Schema]) -> Schema:
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in content.items()}}


def three_media_types(
    properties: dict[str, Schema], *, no_query: tuple[str, ...] = (), files: tuple[str, ...] = tuple(MEDIA)
) -> Schema:
    """A request body by any of the three media types, and the query that goes with a bare file."""
    bare = [MEDIA[modality].media_type for modality in files]
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": f"With an {' or '.join(bare)} body only.",
        }
        for name, schema in _as_text(properties).items()
        if name not in no_query
    ]
    return {
        "parameters": query,
        "requestBody": _body(
            {
                JSON: _object({**{name: _JSON_FILES[name] for name in files}, **properties}),
                FORM: _object({**{name: _FORM_FILES[name] for name in files}, **_as_text(properties)}),
                **{MEDIA[name].media_type: _FORM_FILES[name] for name in files},
            }
        ),
    }


PREDICT = three_media_types(_PREDICT)
EMBED = three_media_types({"text": TEXT, "sensors": _SENSORS})
SEARCH = three_media_types(_SEARCH, no_query=("vector", "like"))
_LABELS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "description": 'By name, e.g. {"colour": "Red", "tags": ["warm", "new"]}.',
}
_ITEM: dict[str, Schema] = {
    "text": TEXT,
    "sensors": _SENSORS,
    "labels": _LABELS,
    "metadata": {"type": "object", "description": "Anything else in JSON; filters reach into it."},
}
ITEM = three_media_types(_ITEM)
ITEMS: Schema = {
    "requestBody": _body(
        {
            JSON: _object(
                {
                    "items": {
                        "type": "array",
                        "minItems": 1,
                        "items": _object(
                            {
                                "id": {"type": "string", "minLength": 1},
                                "delete": {
                                    "type": "boolean",
                                    "default": False,
                                    "description": "Delete the item of this id; then nothing else is given.",
                                },
                                **_JSON_FILES,
                                **_ITEM,
                            },
                            required=["id"],
                        ),
                    }
                },
                required=["items"],
            )
        }
    ),
}
CLASSIFY = three_media_types(
    {
        "text": TEXT,
        "sensors": _SENSORS,
        "labels": {
            "type": "array",
            "minItems": 2,
            "maxItems": MAX_LABELS,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_LABEL_CHARACTERS},
            "description": "The labels, in words.",
        },
        "template": {
            "type": "string",
            "default": "{}",
            "description": 'What each label is put into, at {}: "a photo of {}".',
        },
        "temperature": {
            "type": "number",
            "minimum": LEAST_TEMPERATURE,
            "maximum": 100,
            "default": DEFAULT_TEMPERATURE,
            "description": "The smaller, the more the nearest label gets.",
        },
        "model": {"type": "string", "description": "The default model where it is left out."},
    }
)
TRANSCRIBE = three_media_types(
    {
        "num_beams": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_BEAMS,
            "default": 1,
            "description": "Readings that are followed at once; 1 takes the best of each moment.",
        },
        "alternatives": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_ALTERNATIVES,
            "default": 0,
            "description": "Readings wanted beside the best.",
        },
        "model": {"type": "string", "description": "The first that transcribes where it is left out."},
    },
    files=("audio",),
)
BATCH: Schema = {
    "requestBody": _body(
        {
            JSON: _object(
                {"items": {"type": "array", "minItems": 1, "items": _object({**_JSON_FILES, **_PREDICT})}},
                required=["items"],
            )
        }
    ),
}
_VERSION: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_VERSION}


def _optional_body(properties: dict[str, Schema]) -> Schema:
    return {"requestBody": {"required": False, "content": {JSON: {"schema": _object(properties)}}}}


LOAD = _optional_body(
    {
        "version": {**_VERSION, "description": "Which; without it, the newest on the disk."},
        "current": {
            "type": "boolean",
            "default": True,
            "description": "Whether it answers where no version is named; false serves it beside the current one.",
        },
        "keep": {
            "type": "boolean",
            "default": False,
            "description": "Whether it stays loaded when another version becomes current.",
        },
    }
)
UNLOAD = _optional_body({"version": {**_VERSION, "description": "Which; without it, all of them."}})
GALLERY = _optional_body({"model": {"type": "string", "description": "Whose; the default model's without it."}})
_NOT_CHANGED: Schema = {"description": "Not changed since the version with the ETag in If-None-Match"}
IMAGE_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The image", "content": {"image/*": {"schema": _FILE}}},
    304: _NOT_CHANGED,
}
AUDIO_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The recording", "content": {"audio/*": {"schema": _FILE}}},
    304: _NOT_CHANGED,
}
SENSORS_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The readings", "content": {JSON: {"schema": _SENSORS}}},
    304: _NOT_CHANGED,
}
JPEG_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The image", "content": {"image/jpeg": {"schema": _FILE}}},
    304: _NOT_CHANGED,
}

METRICS_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
}

PROBLEMS = {
    400: "Malformed: not what the content type says",
    401: "No API key, or not a known one",
    404: "No such model, gallery or item",
    405: "Not for this method",
    408: "The body came too slowly",
    409: "It does not go with what is there, as the detail says",
    413: "Too large",
    415: "An unknown media type",
    422: "Understood, but invalid",
    429: "Too many requests wait; Retry-After says when to come back",
    500: "A fault of the service",
    503: "Not ready, or stopping",
    504: "Past the deadline",
}
PROBLEM_RESPONSES: dict[int | str, Schema] = {
    status: {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, text in PROBLEMS.items()
}
