"""Files that are fetched by their URL."""

from functools import cached_property

from pydantic import Field, field_validator

from app.file_url import AllowedHosts
from app.setting_groups.group import Group
from app.setting_groups.lists import split


class Fetching(Group):
    """From where, how long, and how many at once."""

    url_hosts: str = Field(
        "",
        description="Hosts that files may be fetched from by URL, e.g. img.shop.example,*.cdn.example; * is any "
        "public one. Empty: none.",
    )
    url_timeout_seconds: float = Field(10.0, gt=0, description="Time to fetch a file by URL (504).")
    max_url_fetches: int = Field(16, ge=1, le=1024, description="Files fetched by URL at once; others wait.")

    @field_validator("url_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        AllowedHosts.parse(split(value))
        return value

    @cached_property
    def allowed_hosts(self) -> AllowedHosts:
        """The hosts that files may be fetched from."""
        return AllowedHosts.parse(split(self.url_hosts))
