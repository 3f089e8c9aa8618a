"""Plots: learning curves, calibration, confusion. Arrays and histories in, PNG out.

# n rows, C classes, K classes that are shown"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.measures.evaluate import labelled_scores
from training.measures.metrics import confusion, reliability
from training.measures.outputs import SubsetOutput
from training.optimisation.loop import TASK_WEIGHTS
from training.report.fonts import families

DPI = 110
WIDTH_IN = 9.0  # 990 px: what a page shows without making it smaller
COLUMNS = 3
MAX_LABELS = 20
SIDE_BY_SIDE = 8  # labels, at most: with more, the two matrices stand one below the other
NOT_HEADS = ("stage", "epoch", "loss", "seconds", TASK_WEIGHTS)
Counts = NDArray[np.int64]

mpl.use("Agg")
mpl.rcParams["text.parse_math"] = False  # a label or a head may have dollars in it


def learning_plot(history: Sequence[Mapping[str, Any]]) -> bytes:
    """PNG: validation accuracy of each head and training loss over the epochs, one panel a stage."""
    stages = list(dict.fromkeys(entry["stage"] for entry in history))
    figure, panels = _grid(len(stages))
    names: dict[str, Any] = {}
    for panel, stage in zip(panels, stages, strict=True):
        entries = [entry for entry in history if entry["stage"] == stage]
        epochs = [entry["epoch"] for entry in entries]
        losses = panel.twinx()
        (names["training loss"],) = losses.plot(epochs, [entry["loss"] for entry in entries], "--", color="0.6")
        losses.set_yticks([])
        for number, (head, key) in enumerate(stage_heads(entries[0]).items()):
            values = [entry[key] for entry in entries]
            (names[head],) = panel.plot(epochs, values, marker=".", color=f"C{number % 10}")
        panel.set(title=stage, xlabel="epoch", xlim=(0.5, epochs[-1] + 0.5), ylim=(0, 1.02))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    return png(figure, names, "validation accuracy")


def reliability_plot(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> bytes:
    """PNG: share right against confidence, ten bins of equal mass; one panel a head, one line a subset.

    b"" where no head has a label."""
    points: dict[str, dict[str, list[tuple[float, float, int]]]] = {}
    for head in config.network.classes:
        for subset, output in outputs.items():
            scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
            if len(labels_n):
                bins = reliability(scores_nC.max(1), scores_nC.argmax(1) == labels_n)
                points.setdefault(head, {})[subset] = bins
    if not points:
        return b""
    figure, panels = _grid(len(points))
    names: dict[str, Any] = {}
    for panel, (head, lines) in zip(panels, points.items(), strict=True):
        (names["perfect"],) = panel.plot([0, 1], [0, 1], "k:", linewidth=1)
        for subset, bins in lines.items():
            colour = f"C{list(outputs).index(subset) % 10}"
            (names[subset],) = panel.plot([b[0] for b in bins], [b[1] for b in bins], marker=".", color=colour)
        panel.set(title=head, xlabel="confidence", xlim=(0, 1.02), ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    return png(figure, names, "share right")


def confusion_plots(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> dict[str, bytes]:
    """By file name, a PNG for each head with labels: given all modalities, and given those it is weakest with."""
    files: dict[str, bytes] = {}
    for head, part in config.network.classes.items():
        counts: dict[str, Counts] = {}
        for subset, output in outputs.items():
            scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
            if (labels_n >= 0).any():
                counts[subset] = confusion(labels_n, scores_nC.argmax(1), len(part.labels))
        if counts:
            widest = list(counts)[-1]
            weakest = min(counts, key=lambda name: float(np.trace(counts[name]) / counts[name].sum()))
            shown = {name: counts[name] for name in dict.fromkeys((widest, weakest))}
            files[_file_name(head, files)] = _confusion_plot(head, shown, part.labels)
    return files


def telling_labels(counts_CC: Counts, limit: int = MAX_LABELS) -> list[int]:
    """The classes to show: those with most errors, as label or as prediction, then the most frequent.

    Returns:
        At most `limit` class numbers that occur, the most frequent first.
    """
    rows_C, given_C, right_C = counts_CC.sum(1), counts_CC.sum(0), np.diag(counts_CC)
    errors_C = rows_C + given_C - 2 * right_C
    occurring = [number for number in range(len(counts_CC)) if rows_C[number] or given_C[number]]
    chosen = sorted(occurring, key=lambda number: (-errors_C[number], -rows_C[number], number))[:limit]
    return sorted(chosen, key=lambda number: (-rows_C[number], number))


def stage_heads(entry: Mapping[str, Any]) -> dict[str, str]:
    """Head → key of an epoch's entry: a stage of one encoder names its heads, a shared one `subset/head`.

    Of the subsets, the last counts, which has all modalities."""
    keys = [key for key in entry if key not in NOT_HEADS]
    return {key.split("/", 1)[-1]: key for key in keys}


def _confusion_plot(head: str, counts: Mapping[str, Counts], labels: Sequence[str]) -> bytes:
    weakest = list(counts.values())[-1]
    chosen = telling_labels(weakest)
    wide = len(chosen) <= SIDE_BY_SIDE and len(counts) > 1
    height = 1.5 + (0.45 if wide else 0.27) * len(chosen)
    figure = Figure(figsize=(WIDTH_IN, height if wide else height * len(counts)), layout="constrained")
    grid = (1, len(counts)) if wide else (len(counts), 1)
    for panel, (subset, counts_CC) in zip(figure.subplots(*grid, squeeze=False).flat, counts.items(), strict=True):
        _draw_confusion(panel, counts_CC, chosen, labels)
        size = counts_CC.sum()
        # In two lines: a subset of four modalities is as wide as its panel.
        told = f"{head} from {subset}:\n{np.trace(counts_CC) / size:.1%} of {size:,} right"
        panel.set_title(told, fontsize=10)
    return png(figure)


def _draw_confusion(panel: Axes, counts_CC: Counts, chosen: list[int], labels: Sequence[str]) -> None:
    """Rows sum to 100 %; what goes to a class that is not shown stands in the last column."""
    rows_K = counts_CC.sum(1)[chosen]
    shown_KK = counts_CC[np.ix_(chosen, chosen)]
    names = [_shortened(labels[number]) for number in chosen]
    columns = list(names)
    if (counts_CC.sum(1) + counts_CC.sum(0) > 0).sum() > len(chosen):
        shown_KK = np.column_stack([shown_KK, rows_K - shown_KK.sum(1)])
        columns.append("(others)")
    shares = shown_KK / np.maximum(rows_K, 1)[:, None]
    panel.imshow(shares, cmap="Blues", norm=mpl.colors.PowerNorm(0.6, 0, 1), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            text = panel.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
            text.set_color("white" if share > 0.5 else "black")
            text.set_in_layout(False)  # it lies within the panel, and asking hundreds of them takes seconds
    panel.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    ticks = [f"{name} ({count})" for name, count in zip(names, rows_K, strict=True)]
    panel.set_yticks(range(len(names)), ticks, fontsize=8)
    panel.set_ylabel("label (rows)", fontsize=8)
    panel.set_xlabel("prediction, in % of the label's rows", fontsize=8)
    panel.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    panel.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1)
    panel.tick_params(which="both", length=0)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = 2 if count == 4 else min(count, COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH_IN if columns > 2 else 0.7 * WIDTH_IN, 0.6 + 2.8 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def png(figure: Figure, legend: Mapping[str, Any] | None = None, label: str = "") -> bytes:
    """The figure's file; with a legend, entries by their name, and what the y axis is called."""
    if legend:
        figure.supylabel(label, fontsize=10)
        figure.legend(
            list(legend.values()), list(legend), loc="outside lower center", ncols=min(6, len(legend)), fontsize=9
        )
    buffer = io.BytesIO()
    with mpl.rc_context({"font.family": families()}), warnings.catch_warnings():
        # A script that no installed font has is drawn as boxes; the plot is worth having all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _file_name(head: str, taken: Mapping[str, bytes]) -> str:
    """A head is named by its column, which may hold anything; a link in Markdown may not."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", head).strip("-") or "head"
    name = f"plots/confusion-{slug}.png"
    number = 2
    while name in taken:
        name = f"plots/confusion-{slug}-{number}.png"
        number += 1
    return name


def _shortened(label: str, limit: int = 22) -> str:
    return label if len(label) <= limit else f"{label[: limit - 1]}…"
