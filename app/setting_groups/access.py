"""Where the service listens, and who may ask."""

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from app.keys import Keys, parse_keys, read_entries
from app.setting_groups.group import Group
from app.setting_groups.lists import split

_ORIGIN = r"https?://[^\s,/*]+"


class Access(Group):
    """Address, proxies, origins and keys."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    root_path: str = Field("", description="Path under which a proxy serves this, e.g. /intermodal.")
    forwarded_allow_ips: str = Field(
        "", description="Proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, or *."
    )
    cors_origins: str = Field(
        "",
        pattern=rf"^\s*(\*|{_ORIGIN}(\s*,\s*{_ORIGIN})*)?\s*$",
        description="Sites whose pages may ask, e.g. https://shop.example,http://localhost:3000, or *.",
    )
    api_keys: str = Field(
        "", repr=False, description="SHA-256 of each API key (python -m app hash-key), or name:SHA-256, by commas."
    )
    api_keys_file: Path | None = Field(None, description="File with more of them, one a line.")
    require_key: Literal["writes", "all", "none"] = Field(
        "writes", description="What needs a key: writes from other machines, all but health and the page, or none."
    )

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for part in split(value):
            if part != "*":
                ipaddress.ip_network(part)
        return value

    @field_validator("api_keys")
    @classmethod
    def _hashes(cls, value: str) -> str:
        parse_keys(value.split(","))
        return value

    @field_validator("api_keys_file")
    @classmethod
    def _file_of_hashes(cls, value: Path | None) -> Path | None:
        if value is not None:
            parse_keys(read_entries(value))
        return value

    @model_validator(mode="after")
    def _someone_may_ask(self) -> Self:
        if self.require_key == "all" and not self.keys:
            raise ValueError(
                "INTERMODAL_REQUIRE_KEY (--require-key) is 'all', and there is no key. Make one with "
                "python -m app hash-key --generate, and set INTERMODAL_API_KEYS to its hash."
            )
        return self

    @field_validator("root_path")
    @classmethod
    def _one_leading_slash(cls, value: str) -> str:
        stripped = value.strip("/")
        return f"/{stripped}" if stripped else ""

    @cached_property
    def keys(self) -> Keys:
        """The API keys of both settings."""
        return parse_keys(
            [*self.api_keys.split(","), *(read_entries(self.api_keys_file) if self.api_keys_file else ())]
        )
