"""What several routes answer: which model it was, problems, the state of the service."""

from typing import Self

from pydantic import BaseModel, Field

from app.served import Model


def is_none(value: object) -> bool:
    """For `exclude_if`."""
    return value is None


def six_digits(number: float) -> float:
    """The number to the six digits that float32 has."""
    return float(f"{number:.6g}")


class ModelRef(BaseModel):
    """Which model answered."""

    name: str
    version: int

    @classmethod
    def of(cls, model: Model) -> Self:
        """The name and version of `model`."""
        return cls(name=model.name, version=model.version)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="about:blank: the title is the status's own.")
    title: str
    status: int
    detail: str = Field(description="Field, fault and remedy.")
    field: str | None = Field(None, exclude_if=is_none, description="The field at fault, where it is one.")
    retry_after_seconds: int | None = Field(
        None, exclude_if=is_none, description="When to come back, where too much waits (429)."
    )
    request_id: str


class Health(BaseModel):
    """The state of the service."""

    status: str
