"""JSON to dataclasses, by their annotations."""

import dataclasses
import types
import typing
from functools import cache
from typing import Any, TypeVar

from intermodal_client.errors import AnswerError

T = TypeVar("T")


def build(kind: type[T], value: object) -> T:
    """`value` as `kind`; members that it does not know are left out.

    Raises:
        AnswerError: a member is missing, or of another kind.
    """
    try:
        built: T = _build(kind, value)
    except (TypeError, AttributeError, ValueError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise AnswerError(f"The answer is no {name}: {error}. Does the client fit the service?") from error
    return built


def _build(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _build(hints[name], value[name]) for name in hints if name in value})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        others = [argument for argument in arguments if argument is not types.NoneType]
        return value if value is None or len(others) > 1 else _build(others[0], value)
    if origin is list:
        return [_build(arguments[0], element) for element in value]
    if origin is tuple:
        return tuple(_build(argument, element) for argument, element in zip(arguments, value, strict=True))
    if origin is dict:
        return {name: _build(arguments[1], element) for name, element in value.items()}
    return float(value) if kind is float else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
