"""How a request's body is described: files and fields, by any of three media types."""

from typing import Any

from app.body import FORM, JSON
from app.file_url import MAX_URL_CHARACTERS
from app.media import MEDIA

Schema = dict[str, Any]


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


FILE: Schema = {"type": "string", "format": "binary", "description": "A file."}
JSON_FILES = {modality: _file_in_json(kind.noun) for modality, kind in MEDIA.items()}
_FORM_FILES: dict[str, Schema] = {
    modality: {**FILE, "description": f"{kind.noun.capitalize()}'s file."} for modality, kind in MEDIA.items()
}
TEXT: Schema = {"type": "string", "description": "A text."}
_READING: Schema = {"type": ["number", "null"]}
SENSORS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [_READING, {"type": "array", "items": _READING}]},
    "description": "Readings by channel, a number or the newest steps, oldest first; null is a gap. "
    "GET /models/{name} has the channels.",
}


def closed(properties: dict[str, Schema], **more: object) -> Schema:
    """An object of these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _as_text(properties: dict[str, Schema]) -> dict[str, Schema]:
    """Fields of a form or a query, where an object is a string of JSON."""

    def text(schema: Schema) -> Schema:
        inside = {name: part for name, part in schema.items() if name != "description"}
        words = {"description": schema["description"]} if "description" in schema else {}
        return {"type": "string", "contentMediaType": JSON, "contentSchema": inside, **words}

    return {
        name: text(schema) if schema.get("type") in ("object", "array") else schema
        for name, schema in properties.items()
    }


def body(content: dict[str, Schema]) -> Schema:
    """A body that has to be there, by media type."""
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
        "requestBody": body(
            {
                JSON: closed({**{name: JSON_FILES[name] for name in files}, **properties}),
                FORM: closed({**{name: _FORM_FILES[name] for name in files}, **_as_text(properties)}),
                **{MEDIA[name].media_type: _FORM_FILES[name] for name in files},
            }
        ),
    }


def optional_body(properties: dict[str, Schema]) -> Schema:
    """A body of JSON that may be left out."""
    return {"requestBody": {"required": False, "content": {JSON: {"schema": closed(properties)}}}}
