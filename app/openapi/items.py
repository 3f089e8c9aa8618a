"""What is put into galleries, and what of an item is given back."""

from app.body import JSON
from app.openapi.bodies import (
    FILE,
    JSON_FILES,
    SENSORS,
    TEXT,
    Schema,
    body,
    closed,
    optional_body,
    three_media_types,
)

_LABELS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "description": 'By name, e.g. {"colour": "Red", "tags": ["warm", "new"]}.',
}
_ITEM: dict[str, Schema] = {
    "text": TEXT,
    "sensors": SENSORS,
    "labels": _LABELS,
    "metadata": {"type": "object", "description": "Anything else in JSON; filters reach into it."},
}
ITEM = three_media_types(_ITEM)
ITEMS: Schema = {
    "requestBody": body(
        {
            JSON: closed(
                {
                    "items": {
                        "type": "array",
                        "minItems": 1,
                        "items": closed(
                            {
                                "id": {"type": "string", "minLength": 1},
                                "delete": {
                                    "type": "boolean",
                                    "default": False,
                                    "description": "Delete the item of this id; then nothing else is given.",
                                },
                                **JSON_FILES,
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
GALLERY = optional_body({"model": {"type": "string", "description": "Whose; the default model's without it."}})
_NOT_CHANGED: Schema = {"description": "Not changed since the version with the ETag in If-None-Match"}
IMAGE_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The image", "content": {"image/*": {"schema": FILE}}},
    304: _NOT_CHANGED,
}
AUDIO_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The recording", "content": {"audio/*": {"schema": FILE}}},
    304: _NOT_CHANGED,
}
SENSORS_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The readings", "content": {JSON: {"schema": SENSORS}}},
    304: _NOT_CHANGED,
}
JPEG_RESPONSES: dict[int | str, Schema] = {
    200: {"description": "The image", "content": {"image/jpeg": {"schema": FILE}}},
    304: _NOT_CHANGED,
}
