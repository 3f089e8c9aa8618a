"""What /classify and /transcribe take."""

from app.label_payload import DEFAULT_TEMPERATURE, LEAST_TEMPERATURE, MAX_LABEL_CHARACTERS, MAX_LABELS
from app.openapi.bodies import SENSORS, TEXT, three_media_types
from app.speech_payload import MAX_ALTERNATIVES, MAX_BEAMS

CLASSIFY = three_media_types(
    {
        "text": TEXT,
        "sensors": SENSORS,
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
