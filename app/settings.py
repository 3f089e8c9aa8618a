"""Settings of the service: variables of the environment or of a file, INTERMODAL_<NAME>, each also a flag.

Units stand in names. A wrong value is refused at start, with the remedy."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.setting_groups.access import Access
from app.setting_groups.computing import Computing
from app.setting_groups.content import Content
from app.setting_groups.fetching import Fetching
from app.setting_groups.files import Files
from app.setting_groups.requests import Requests
from app.setting_groups.streams import Streams
from app.setting_groups.traffic import Traffic
from app.settings_file import DEFAULT_FILE

PREFIX = "INTERMODAL_"
PROGRAM = "python -m app"
MAX_SECONDS = 1e8  # three years: what an event loop can wait for


# From the last to the first, as --help and README list them: pydantic begins with the base of all bases.
class Settings(Fetching, Requests, Streams, Files, Traffic, Computing, Content, Access, BaseSettings):
    """Serve a trained model over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # compose passes a variable on as an empty one
        defer_build=False,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,  # a clock that runs out never is no clock
        cli_prog_name=PROGRAM,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    request_timeout_seconds: float = Field(
        30.0, gt=0, description="Time for an answer, before it is given up (504)."
    )
    shutdown_timeout_seconds: int = Field(20, ge=0, description="Time for open requests when the service stops.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message logged."
    )

    log_format: Literal["json", "text"] = Field("json", description="A line of the log, on stderr.")
    settings_file: Path = Field(
        DEFAULT_FILE, description="File with lines of VARIABLE=value, read where it is there; see doctor."
    )

    @field_validator("*")
    @classmethod
    def _not_for_ever(cls, value: object) -> object:
        if isinstance(value, float) and value > MAX_SECONDS:
            raise ValueError(f"Input should be less than or equal to {MAX_SECONDS:,.0f}")
        return value

    @property
    def stuck_seconds(self) -> float:
        """How long decoding, a forward pass or a search may take: nobody waits beyond a request's own time."""
        return min(self.engine_timeout_seconds, self.request_timeout_seconds)


def flag(field: str) -> str:
    """The flag of a setting: `max_top_k` is `--max-top-k`."""
    return f"--{field.replace('_', '-')}"
