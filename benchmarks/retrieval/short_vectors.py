"""What a vector cut to its first numbers (`dimensions` of /v1/embeddings) still finds in the shipped gallery.

    python -m benchmarks.retrieval.short_vectors

Every item's vector asks for its ten nearest, itself left out. Writes results/short_vectors.json."""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = (128, 96, 64, 48, 32, 16, 8)
K = 10


def cut(vectors_NE: np.ndarray, length: int) -> np.ndarray:
    short = vectors_NE[:, :length]
    return short / np.linalg.norm(short, axis=1, keepdims=True)


def nearest(queries_NE: np.ndarray, vectors_NE: np.ndarray) -> np.ndarray:
    """(N, K) rows, the own one left out."""
    scores_NN = queries_NE @ vectors_NE.T
    np.fill_diagonal(scores_NN, -2)
    return np.argsort(-scores_NN, axis=1)[:, :K]


def overlap(found_NK: np.ndarray, wanted_NK: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found_NK, wanted_NK, strict=True)]))


def own_found(texts_NE: np.ndarray, images_NE: np.ndarray) -> float:
    """The share of items whose own image is among the ten nearest to their text."""
    scores_NN = texts_NE @ images_NE.T
    return float(np.mean((scores_NN > np.diag(scores_NN)[:, None]).sum(axis=1) < K))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=Path, default=ROOT / "checkpoints/fashion/2/gallery")
    folder = parser.parse_args().gallery
    tensors = load_file(folder / "vectors.safetensors")
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    whole = {name: tensors[name].astype(np.float32) for name in ("fused", "image", "text")}
    both = np.intersect1d(tensors["image.rows"], tensors["text.rows"])
    pairs = {name: whole[name][np.searchsorted(tensors[f"{name}.rows"], both)] for name in ("image", "text")}
    kinds_N = np.array([items[row]["labels"].get("articleType", "") for row in tensors["fused.rows"]])
    wanted_NK = nearest(whole["fused"], whole["fused"])
    rows = []
    for length in LENGTHS:
        fused_NE = cut(whole["fused"], length)
        found_NK = nearest(fused_NE, fused_NE)
        own = own_found(cut(pairs["text"], length), cut(pairs["image"], length))
        rows.append({
            "dimensions": length,
            "overlap_at_10": round(overlap(found_NK, wanted_NK), 3),
            "same_article_type_at_10": round(float(np.mean(kinds_N[found_NK] == kinds_N[:, None])), 3),
            "own_image_by_text_at_10": round(own, 3),
        })  # fmt: skip
        print(rows[-1])
    result = {"items": len(wanted_NK), "pairs": len(both), "rows": rows}
    (ROOT / "benchmarks/results/short_vectors.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
