"""What the OpenAPI document says by hand of texts that are written."""

from app.events import EVENTS
from app.generate_payload import MAX_SEED, MAX_STOP_CHARACTERS, MAX_TEMPERATURE
from app.openapi.bodies import TEXT, Schema, three_media_types

_STRING: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}
GENERATE = three_media_types(
    {
        "text": {**TEXT, "description": "A text that is continued."},
        "max_tokens": {
            "type": "integer",
            "minimum": 1,
            "description": "Most tokens; the model's own number where it is left out.",
        },
        "num_beams": {
            "type": "integer",
            "minimum": 1,
            "default": 1,
            "description": "Texts that are followed at once, of which the best is answered; 1 takes the likeliest "
            "token each time.",
        },
        "temperature": {
            "type": "number",
            "minimum": 0,
            "maximum": MAX_TEMPERATURE,
            "description": "Above 0, each token is drawn, the freer the higher. Not with beams.",
        },
        "top_p": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "default": 1,
            "description": "Draw from the likeliest tokens with so much of the probability. With a temperature.",
        },
        "seed": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_SEED,
            "description": "What is drawn with the same seed is the same text.",
        },
        "stop": {
            "anyOf": [_STRING, {"type": "array", "items": _STRING}],
            "description": "What ends the text, and is no part of it; one of several. In a form or a query a "
            "string, or a list as JSON.",
        },
        "stream": {
            "type": "boolean",
            "default": False,
            "description": f"Whether to answer with {EVENTS}; so does the header Accept.",
        },
        "model": {"type": "string", "description": "The first that writes texts where it is left out."},
    },
    files=("image",),
)
_EVENTS = """data: {"text": "a dog"}

data: {"text": " runs"}

event: done
data: {"text": "a dog runs", "num_tokens": 4, "finish_reason": "stop", "score": -0.61, "model": …, "request_id": …}

"""
GENERATE_RESPONSES: dict[int | str, Schema] = {
    200: {
        "description": "The text; as events, where they are asked for: each with what is new, then `done` with "
        "the whole, or `error` with a problem in its place. Comments keep a silent connection open.",
        "content": {EVENTS: {"schema": {"type": "string"}, "example": _EVENTS}},
    },
}
