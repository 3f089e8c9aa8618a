"""The model card: what was trained on what, what it measures, and plots to look at."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.evaluate import SubsetOutput, labelled_scores
from training.metrics import reliability

mpl.use("Agg")

LEARNING = "plots/learning.png"
RELIABILITY = "plots/reliability.png"


def model_card(config: CheckpointConfig, metrics: Mapping[str, Any]) -> str:
    """MODEL_CARD.md; every figure from `metrics`."""
    provenance = config.provenance
    parts = [
        f"# {config.name} {metrics['version']}",
        f"A multimodal model trained by Intermodal. Any subset of {', '.join(config.network.modalities)} goes in; "
        f"scores of {len(config.network.classes)} head(s) and an embedding for retrieval come out.",
        "## Data",
        f"{provenance['data_licence'] or 'Source and licence: not given in the recipe.'}",
        _data_lines(metrics),
        "## Figures on the test split",
        "Accuracy ± standard error. ECE is the expected calibration error (ten bins of equal mass), and beside it "
        "what a perfectly calibrated model would show on as few rows.",
        _heads_table(metrics["test"]),
        _retrieval_table(metrics["test"]),
        "Validation figures (on which epochs, temperatures and the recipe were chosen) are in `metrics.json`.",
        f"![Calibration on the test split]({RELIABILITY})",
        "## Training",
        f"Seed {provenance['seed']}; recipe and data hash are in `config.json`. Image weights: "
        f"{provenance['pretrained']}. Hardware: {provenance['hardware']}.",
        _stages_table(metrics),
        f"![Learning curves]({LEARNING})",
        "## Use and limits",
        "Scores are calibrated on data like the training data; on other data they are no probabilities. Labels "
        "that are rare in training are rarely predicted. What the data labels wrongly is learnt wrongly.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def learning_plot(history: Sequence[Mapping[str, Any]]) -> bytes:
    """PNG: loss and mean validation accuracy over the epochs of all stages, one panel a stage."""
    stages = list(dict.fromkeys(entry["stage"] for entry in history))
    figure = Figure(figsize=(3.2 * len(stages), 3.2), layout="constrained")
    for panel, stage in zip(np.atleast_1d(figure.subplots(1, len(stages))), stages, strict=True):
        entries = [entry for entry in history if entry["stage"] == stage]
        epochs = [entry["epoch"] for entry in entries]
        for name in entries[0]:
            # The single-stage heads are named by head; the shared ones by subset/head.
            if name not in ("stage", "epoch", "loss", "seconds") and name.count("/") <= 1:
                wanted = "/" not in name or name.startswith("image+text/") or len(entries[0]) <= 8
                if wanted:
                    panel.plot(epochs, [entry[name] for entry in entries], marker=".", label=name.split("/")[-1])
        panel.set(title=stage, xlabel="epoch", ylim=(0, 1))
        panel.grid(alpha=0.3)
        losses = panel.twinx()
        losses.plot(epochs, [entry["loss"] for entry in entries], "k--", linewidth=1)
        losses.set_yticks([])
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=7, loc="lower right")
    figure.supylabel("validation accuracy\n(dashed: training loss)", fontsize=8)
    return _png(figure)


def reliability_plot(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> bytes:
    """PNG: share right against confidence, ten bins of equal mass; one panel a head, one line a subset."""
    heads = list(config.network.classes)
    figure = Figure(figsize=(2.6 * max(1, len(heads)), 3.0), layout="constrained")
    for panel, head in zip(
        np.atleast_1d(figure.subplots(1, max(1, len(heads)), sharey=True)), heads, strict=False
    ):
        panel.plot([0, 1], [0, 1], "k:", linewidth=1)
        for subset, output in outputs.items():
            scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
            if len(labels_n):
                bins = reliability(scores_nC.max(1), scores_nC.argmax(1) == labels_n)
                panel.plot([b[0] for b in bins], [b[1] for b in bins], marker=".", label=subset)
        panel.set(title=head, xlabel="confidence", xlim=(0, 1), ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("share right")
    if heads:
        figure.axes[-1].legend(fontsize=7, loc="lower right")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _data_lines(metrics: Mapping[str, Any]) -> str:
    sizes = metrics["splits"]
    return (
        f"Rows: {sizes['train']:,} train, {sizes['val']:,} val, {sizes['test']:,} test. Rows "
        "that share a group (equal images included) are all in one split."
    )


def _heads_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    heads = list(dict.fromkeys(head for part in figures.values() for head in part if head != "retrieval"))
    lines = ["| head | " + " | ".join(f"{subset} | ECE" for subset in figures) + " |"]
    lines.append("|---|" + "---|---|" * len(figures))
    for head in heads:
        cells = []
        for part in figures.values():
            found = part.get(head)
            cells += (
                [
                    f"{found['accuracy']:.3f} ± {found['standard_error']:.3f}",
                    f"{found['ece']:.3f} ({found['ece_floor']:.3f})",
                ]
                if found
                else ["", ""]
            )
        lines.append(f"| {head} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _retrieval_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    found = figures.get("image+text", {}).get("retrieval")
    if not found:
        return ""
    lines = ["| retrieval | R@1 | R@5 | R@10 | median rank | gallery |", "|---|---|---|---|---|---|"]
    for way, row in found.items():
        shares = " | ".join(f"{row[name]:.3f}" for name in ("r@1", "r@5", "r@10"))
        lines.append(f"| {way.replace('_', ' ')} | {shares} | {row['median_rank']:g} | {row['gallery']} |")
    return "\n".join(lines)


def _stages_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| stage | epochs | minutes | last loss |", "|---|---|---|---|"]
    history = metrics["history"]
    for stage in dict.fromkeys(entry["stage"] for entry in history):
        entries = [entry for entry in history if entry["stage"] == stage]
        minutes = sum(entry["seconds"] for entry in entries) / 60
        lines.append(f"| {stage} | {len(entries)} | {minutes:.1f} | {entries[-1]['loss']:.3f} |")
    return "\n".join(lines)
