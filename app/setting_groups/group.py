"""Some of the settings."""

from pydantic import BaseModel


class Group(BaseModel, defer_build=True):  # nobody asks for a group's own validator
    """Fields of `Settings`, with what checks them and what is made of them."""
