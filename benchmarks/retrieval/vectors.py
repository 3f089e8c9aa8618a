"""Many vectors out of the embeddings of a checkpoint's gallery, queries to them, and the true nearest.

A vector is a real embedding, drawn at random, with Gaussian noise of a given length added, at unit norm. Queries
are drawn likewise, with noise of their own. 128 dimensions are those of the shipped model (all targets stacked);
256 are an item's image and text embeddings one after the other, for the model has no wider ones.

# N vectors, Q queries, E embedding dimensions, K nearest"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

NOISE = 0.5
"""Length of what is added to a unit vector: a copy has a cosine of about 0.9 to its origin."""

NEAREST = 10
_PIECE = 65_536

Floats = NDArray[np.float32]


def real(gallery: Path, dimensions: int) -> Floats:
    """The distinct embeddings that others are drawn from. Raises ValueError for dimensions that there are not."""
    parts = load_file(gallery / "vectors.safetensors")
    targets = sorted(name for name in parts if not name.endswith(".rows"))
    width = parts[targets[0]].shape[1]
    if dimensions == width:
        return _unit(np.concatenate([parts[name].astype(np.float32) for name in targets]))
    if dimensions == 2 * width:
        _, images, texts = np.intersect1d(parts["image.rows"], parts["text.rows"], return_indices=True)
        return _unit(np.hstack([parts["image"][images], parts["text"][texts]]).astype(np.float32))
    raise ValueError(f"{dimensions} dimensions: there are {width}, or {2 * width} of two targets joined")


def jittered(base_nE: Floats, count: int, random: np.random.Generator) -> Floats:
    """`count` copies with noise, (count, E)."""
    width = base_nE.shape[1]
    found_NE = np.empty((count, width), np.float32)
    for start in range(0, count, _PIECE):
        size = min(_PIECE, count - start)
        noise = random.standard_normal((size, width), np.float32) * np.float32(NOISE / width**0.5)
        found_NE[start : start + size] = _unit(base_nE[random.integers(0, len(base_nE), size)] + noise)
    return found_NE


def nearest(vectors_NE: Floats, queries_QE: Floats) -> NDArray[Any]:
    """By brute force, (Q, K)."""
    best: list[NDArray[Any]] = []
    for query in range(0, len(queries_QE), 50):
        scores = queries_QE[query : query + 50] @ vectors_NE.T
        best.append(np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST])
    return np.concatenate(best)


def _unit(vectors_nE: Floats) -> Floats:
    return np.asarray(vectors_nE / np.linalg.norm(vectors_nE, axis=1, keepdims=True), np.float32)
