"""Tensors to a body of the Open Inference Protocol: JSON, or JSON with their bytes behind it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import strict_json


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tensor that is to go out.

    num_classes: of an output with a label for each column, so many of the best as "score:index:label"; 0 is the
        output itself.
    """

    name: str
    binary: bool = False
    num_classes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TensorOut:
    """A tensor that goes out: FP32, or BYTES as rows of strings."""

    wanted: Wanted
    shape: tuple[int, ...]
    values: NDArray[np.float32] | Sequence[str]


def write_answer(head: Mapping[str, Any], outputs: Sequence[TensorOut]) -> tuple[bytes, int | None]:
    """The body of an answer, and how many of its bytes are JSON, None for all.

    Args:
        head: the members beside `outputs`.
        outputs: in order.
    """
    described, tails = [], []
    for output in outputs:
        is_float = isinstance(output.values, np.ndarray)
        members: dict[str, Any] = {
            "name": output.wanted.name,
            "datatype": "FP32" if is_float else "BYTES",
            "shape": list(output.shape),
        }
        if output.wanted.binary:
            tail = _floats(output.values) if isinstance(output.values, np.ndarray) else _strings(output.values)
            members["parameters"] = {"binary_data_size": len(tail)}
            tails.append(tail)
        else:
            values = output.values
            members["data"] = values.ravel().tolist() if isinstance(values, np.ndarray) else list(values)
        described.append(members)
    json = strict_json.write({**head, "outputs": described})
    return (b"".join([json, *tails]), len(json)) if tails else (json, None)


def _floats(values: NDArray[np.float32]) -> bytes:
    return values.astype("<f4").tobytes()


def _strings(values: Sequence[str]) -> bytes:
    encoded = [value.encode() for value in values]
    return b"".join(part for value in encoded for part in (struct.pack("<I", len(value)), value))
