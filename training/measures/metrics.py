"""Figures: accuracy and its differences, calibration, label sets, numbers. Arrays in, numbers out.

# N rows, C classes, E embedding dimensions"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

NUM_BINS = 10
NEIGHBOURS = 5
ROUNDS = 1_000
Z90 = 1.6449  # deviations of a Gaussian on each side of its mean that hold 90 %


def accuracy(scores_NC: Floats, labels_N: Ints) -> dict[str, float]:
    """Share of rows whose best class is the label, with its binomial standard error. A label of -1 is wrong."""
    hits_N = scores_NC.argmax(1) == labels_N
    share = float(hits_N.mean())
    return {
        "accuracy": share,
        "standard_error": float(np.sqrt(share * (1 - share) / len(hits_N))),
        "count": len(hits_N),
    }


def paired_bootstrap(differences_N: Floats, *, rounds: int = ROUNDS, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of paired differences: percentiles over resamples of the rows (Efron, 1979)."""
    rng = np.random.default_rng(seed)
    size = len(differences_N)
    means = [differences_N[rng.integers(size, size=size)].mean() for _ in range(rounds)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def confusion(labels_N: Ints, predicted_N: Ints, num_classes: int) -> NDArray[np.int64]:
    """Counts (C, C): label down, prediction across. Rows with a label of -1 are left out."""
    known_N = labels_N >= 0
    counts_CC = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts_CC, (labels_N[known_N], predicted_N[known_N]), 1)
    return counts_CC


def neighbour_share(vectors_NE: Floats, labels_N: Ints, twins: Sequence[Ints], num: int = NEIGHBOURS) -> Floats:
    """For each row, the share (N,) of the `num` nearest others, by cosine, that have its label.

    Args:
        vectors_NE: unit norm.
        labels_N: class numbers.
        twins: for each row, the rows that are no neighbours: itself, and those that equal it.
        num: fewer where there are not so many others; a row without any has share 0.
    """
    shares_N = np.empty(len(labels_N))
    for row, vector_E in enumerate(vectors_NE):
        scores_N = vectors_NE @ vector_E
        scores_N[twins[row]] = -np.inf
        nearest = np.argsort(-scores_N, kind="stable")[: min(num, len(labels_N) - len(twins[row]))]
        shares_N[row] = (labels_N[nearest] == labels_N[row]).mean() if len(nearest) else 0.0
    return shares_N


def reliability(
    confidence_N: Floats, hits_N: NDArray[np.bool_], num_bins: int = NUM_BINS
) -> list[tuple[float, float, int]]:
    """Bins of equal mass, least confident first: (mean confidence, share right, rows)."""
    parts = np.array_split(np.argsort(confidence_N, kind="stable"), num_bins)
    return [(float(confidence_N[p].mean()), float(hits_N[p].mean()), len(p)) for p in parts if len(p)]


def calibration_error(confidence_N: Floats, hits_N: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap between confidence and share right, over bins of equal mass."""
    bins = reliability(confidence_N, hits_N)
    return float(sum(count * abs(mean - share) for mean, share, count in bins) / len(hits_N))


def calibration_floor(confidence_N: Floats, *, rounds: int = 200, seed: int = 0) -> float:
    """The error that a perfectly calibrated model shows on this many rows: hits drawn from its confidences."""
    rng = np.random.default_rng(seed)
    draws = [calibration_error(confidence_N, rng.random(len(confidence_N)) < confidence_N) for _ in range(rounds)]
    return float(np.mean(draws))


def coverage(sets: Sequence[Ints], labels_N: Ints) -> dict[str, float]:
    """Share of rows whose label is in their prediction set (class numbers), and the sets' mean size."""
    held = [label in chosen for chosen, label in zip(sets, labels_N, strict=True)]
    return {"covered": float(np.mean(held)), "mean_size": float(np.mean([len(chosen) for chosen in sets]))}


def average_precision(scores_N: Floats, hits_N: NDArray[np.bool_]) -> float:
    """Mean over the hits of the share of hits among the rows that score as high or higher. At least one hit.

    Without equal scores that is the area under the precision-recall curve, as a sum over its steps.
    """
    ascending_N, of_hits_H = np.sort(scores_N), np.sort(scores_N[hits_N])
    as_high_H = len(scores_N) - np.searchsorted(ascending_N, of_hits_H, side="left")
    hits_as_high_H = len(of_hits_H) - np.searchsorted(of_hits_H, of_hits_H, side="left")
    return float((hits_as_high_H / as_high_H).mean())


def label_set_figures(
    scores_NC: Floats, truth_NC: NDArray[np.bool_], *, num_unknown: int = 0, threshold: float = 0.5
) -> dict[str, float]:
    """Mean average precision over the labels that hold somewhere (left out where none does), and micro-F1.

    Args:
        scores_NC: probabilities.
        truth_NC: which labels hold.
        num_unknown: labels that hold and that the model does not know: misses, for F1.
        threshold: from which score on a label is said to hold.
    """
    said_NC = scores_NC >= threshold
    right = int((said_NC & truth_NC).sum())
    named, holding = int(said_NC.sum()), int(truth_NC.sum()) + num_unknown
    figures = {"f1": 2 * right / (named + holding) if named + holding else 1.0, "count": len(scores_NC)}
    occurring = np.flatnonzero(truth_NC.any(0))
    if len(occurring):
        precisions = [average_precision(scores_NC[:, label], truth_NC[:, label]) for label in occurring]
        figures = {"map": float(np.mean(precisions)), **figures}
    return figures


def regression_figures(values_N: Floats, truth_N: Floats) -> dict[str, float]:
    """Mean absolute and root mean squared error, and R², the variance explained (not of equal numbers)."""
    errors_N = values_N.astype(np.float64) - truth_N
    figures = {"mae": float(np.abs(errors_N).mean()), "rmse": float(np.sqrt((errors_N**2).mean()))}
    variance = float(truth_N.astype(np.float64).var())
    if variance > 0:
        figures["r2"] = 1 - figures["rmse"] ** 2 / variance
    return {**figures, "count": len(values_N)}


def interval_coverage(values_N: Floats, stds_N: Floats, truth_N: Floats) -> dict[str, float]:
    """Share of rows within the central 90 % of a Gaussian around the value, and that interval's mean width."""
    within_N = np.abs(truth_N - values_N) <= Z90 * stds_N
    return {"covered": float(within_N.mean()), "mean_width": float(2 * Z90 * stds_N.mean())}
