"""Whether an answer is right: compared with the scores and cosines that the same model gave in process."""

import json
from collections.abc import Mapping
from typing import Any

TOLERANCE = 5e-3
"""Of a probability or a cosine: batches and other engines round differently."""

MATCHES = 5
"""Asked for in every request, and the default of the service."""


def expectation(scores: Mapping[str, Mapping[str, float]], cosines: Mapping[str, float]) -> dict[str, Any]:
    """What `fault` compares with: every label's score by head, and the cosines of the best items, best first."""
    return {"scores": {head: dict(labels) for head, labels in scores.items()}, "cosines": dict(cosines)}


def fault(body: bytes, expected: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer, or None. Labels that tie within the tolerance may stand in either order."""
    try:
        answer = json.loads(body)
        given = {head: (found[0]["label"], found[0]["score"]) for head, found in answer["classes"].items()}
        matches = [(match["id"], match["score"]) for match in answer["matches"]]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return f"not an answer: {error!r}"
    if given.keys() != expected["scores"].keys():
        return f"heads {sorted(given)}"
    for head, (label, score) in given.items():
        scores = expected["scores"][head]
        if abs(scores.get(label, -1.0) - score) > TOLERANCE or score < max(scores.values()) - TOLERANCE:
            return f"{head} is {label} {score:.4f}"
    best = list(expected["cosines"].values())[:MATCHES]
    if len(matches) != len(best):
        return f"{len(matches)} matches"
    for (item, score), cosine in zip(matches, best, strict=True):
        if abs(score - cosine) > TOLERANCE or abs(expected["cosines"].get(item, -1.0) - score) > TOLERANCE:
            return f"match {item} {score:.4f}"
    return None


def version(body: bytes) -> str | None:
    """The version that answered, where the answer says it."""
    model = json.loads(body).get("model") or {}
    return str(model["version"]) if "version" in model else None
