"""What goes on for a while: live streams, and texts that are written."""

from pydantic import Field

from app.setting_groups.group import Group


class Streams(Group):
    """Live streams, and texts that are written."""

    max_streams: int = Field(64, ge=1, description="Live streams open at once; one more is refused (429).")
    max_stream_seconds: float = Field(3600.0, gt=0, description="Longest live stream, in seconds of sound.")
    stream_idle_seconds: float = Field(30.0, gt=0, description="Time that a live stream may send nothing.")
    max_generated_tokens: int = Field(128, ge=1, le=4096, description="Most tokens of a text that is written.")
    max_generation_beams: int = Field(8, ge=1, le=64, description="Most beams of a text that is written.")
    max_generation_rows: int = Field(
        32, ge=1, le=1024, description="Rows that a thread writes at once; each beam of a text is one."
    )
    max_stop_strings: int = Field(4, ge=1, le=64, description="Most strings of which each ends a text.")
    keep_alive_seconds: float = Field(
        10.0, gt=0, description="Silence of a stream of text, before a comment keeps its connection open."
    )
