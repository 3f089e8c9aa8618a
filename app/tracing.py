"""What OpenTelemetry's span of a request is told of it, where `opentelemetry-instrument` started the process.

Nothing of OpenTelemetry is imported here: where nobody else did, there is no span."""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def describe_span(attributes: Callable[[], Mapping[str, str | int | float]]) -> str | None:
    """Set attributes on the request's span, as `intermodal.<name>`. Returns its trace's id; None for no span."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    span = api.get_current_span()
    if not span.is_recording():
        return None
    for name, value in attributes().items():
        span.set_attribute(f"intermodal.{name}", value)
    return f"{span.get_span_context().trace_id:032x}"
