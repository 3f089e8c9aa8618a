"""What is wrong with what the clients of one scenario saw."""

from collections.abc import Sequence
from typing import Any

from benchmarks.serving.load import Record, Result


def unanswered(records: Sequence[Record]) -> list[str]:
    """A line for each kind of record that is not a right answer."""
    bad = [record for record in records if record.verdict != "right"]
    kinds = sorted({record.verdict if record.verdict != "other" else str(record.status) for record in bad})
    return [f"{sum(kind in (r.verdict, str(r.status)) for r in bad)} requests: {kind}" for kind in kinds]


def summary(result: Result, faults: Sequence[str]) -> dict[str, Any]:
    """The figures that every scenario gives."""
    return {"faults": list(faults), "counts": result.count(), "examples": result.faults[:5]}
