"""What errors look like to clients of other protocols: a problem with one member more, `error`.

RFC 9457 lets a problem have members of its own, and those clients read no other (docs/decisions/0032)."""

from collections.abc import Mapping
from typing import Any

from app.refusals import NotFoundError

INFERENCE = "/v2"
"""Where the Open Inference Protocol is spoken."""

OPENAI = "/v1"
"""Where OpenAI's is."""

_OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 413: "too_large", 429: "rate_limit_exceeded"}


def error_member(path: str, problem: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The member `error` of a problem, where clients that ask for `path` look for it; else nothing."""
    if _under(path, INFERENCE):
        return {"error": problem["detail"]}
    if not _under(path, OPENAI):
        return {}
    status: int = problem["status"]
    code = "model_not_found" if isinstance(error, NotFoundError) else _OPENAI_CODES.get(status)
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {"message": problem["detail"], "type": kind, "param": problem.get("field"), "code": code},
    }


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
