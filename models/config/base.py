"""What every configuration is: frozen, and strict about names, with faults that name the nearest known one."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ConfigError

_TAGS = ("recurrent", "cnn", "transformer", "minilm", "cnn_gru", "conformer", "speech_embedding", "mlp", "tcn")
"""Of unions: pydantic puts them into the path of a fault, where nobody wrote them."""


class Config(BaseModel):
    """Base of all configuration: frozen, strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate `values`, read from `where` (a file's name, for the message).

        Raises:
            ConfigError: naming each faulty key, and for an unknown one the nearest known name.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_explain(cls, dict(fault)) for fault in error.errors()]
            raise ConfigError(f"{where} is not valid: " + "; ".join(lines)) from None


def _explain(cls: type[BaseModel], fault: dict[str, Any]) -> str:
    path = [str(part) for part in fault["loc"] if part not in _TAGS]
    where = ".".join(path)
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']}"
    near = difflib.get_close_matches(path[-1], _known_names(cls, path[:-1]), n=1)
    return f"{where}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "; remove it")


def _known_names(cls: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the class that `path` leads to, or of every class where a table of free names is crossed."""
    schema = cls.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    if not path:
        return list(schema.get("properties", {}))
    return [name for part in definitions.values() for name in part.get("properties", {})]


def kind_or(default: str) -> Callable[[object], str]:
    """A discriminator of a union by `kind`, which is `default` where none is named."""

    def kind(value: object) -> str:
        found = value.get("kind", default) if isinstance(value, Mapping) else getattr(value, "kind", default)
        return str(found)

    return kind
