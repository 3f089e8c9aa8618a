"""What comes in at once: connections, heads, bodies, and what waits."""

from pydantic import Field

from app.setting_groups.group import Group


class Traffic(Group):
    """Connections and bodies."""

    max_connections: int = Field(1000, ge=1, description="Connections open at once; one more is refused (503).")
    max_head_bytes: int = Field(
        65_536, ge=1024, description="Request line and headers, in bytes; longer ones are refused (431)."
    )
    head_timeout_seconds: float = Field(10.0, gt=0, description="Time for them to arrive (408).")
    send_timeout_seconds: float = Field(
        30.0, gt=0, description="Time for a client to take 64 kB of its answer, or the rest; then it is cut off."
    )
    max_queue_items: int = Field(256, ge=1, description="Items that may wait before requests are refused (429).")
    max_body_bytes: int = Field(32_000_000, ge=1024, description="Largest request body, in bytes.")
    max_pending_bytes: int = Field(
        256_000_000,
        ge=1024,
        description="Bytes of all bodies and long answers held at once, before requests are refused (429).",
    )
    max_drained_bytes: int = Field(
        256_000_000, ge=0, description="Bytes of a refused body that are read and dropped, before it is cut off."
    )
    drain_timeout_seconds: float = Field(10.0, ge=0, description="Time to read and drop them.")
    max_form_parts: int = Field(
        64, ge=16, description="Most parts in a form, or fields in a query; more are refused (400)."
    )
    spool_bytes: int = Field(
        1_000_000, ge=0, description="Bytes of a file that stay in memory; a larger one waits in a temporary file."
    )
    max_json_values: int = Field(
        250_000, ge=16, description="Most values in a JSON body, counted as commas and brackets."
    )
