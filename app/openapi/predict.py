"""What /predict, /predict/batch, /embed and searches take."""

from app.body import JSON
from app.openapi.bodies import JSON_FILES, SENSORS, TEXT, Schema, body, closed, three_media_types

_FILTER = 'Which items may match, e.g. {"labels.colour": "Red", "metadata.year": {"gte": 2015}}.'
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
    "sensors": SENSORS,
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
    "sensors": SENSORS,
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
PREDICT = three_media_types(_PREDICT)
EMBED = three_media_types({"text": TEXT, "sensors": SENSORS})
SEARCH = three_media_types(_SEARCH, no_query=("vector", "like"))
BATCH: Schema = {
    "requestBody": body(
        {
            JSON: closed(
                {"items": {"type": "array", "minItems": 1, "items": closed({**JSON_FILES, **_PREDICT})}},
                required=["items"],
            )
        }
    ),
}
