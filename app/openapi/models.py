"""What loading and unloading a version take."""

from app.openapi.bodies import Schema, optional_body
from app.payload import MAX_VERSION

_VERSION: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_VERSION}
LOAD = optional_body(
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
UNLOAD = optional_body({"version": {**_VERSION, "description": "Which; without it, all of them."}})
