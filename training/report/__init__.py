"""What people look at: a model card, or the report of an evaluation, with its plots and pictures.

Outputs and figures come in; Markdown, PNG and JPEG come out. Nothing is measured or written to disk here."""

from collections.abc import Mapping, Sequence

from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.measures.outputs import SubsetOutput
from training.report.card import evaluation_report, model_card
from training.report.comparison import comparison_plot, comparison_table
from training.report.pictures import caption_sheet, error_sheet, retrieval_sheet
from training.report.plots import confusion_plots, learning_plot, reliability_plot
from training.report.spectrograms import spectrogram_sheet

LEARNING = "plots/learning.png"

__all__ = [
    "LEARNING",
    "comparison_plot",
    "comparison_table",
    "evaluation_report",
    "illustrations",
    "learning_plot",
    "model_card",
]


def illustrations(
    outputs: Mapping[str, SubsetOutput],
    records: Sequence[Record],
    config: CheckpointConfig,
    *,
    pictures: bool,
    matching: bool = True,
) -> dict[str, bytes]:
    """Plots and pictures of an evaluation by file name; what there is nothing to show of is left out.

    Args:
        outputs: by subset, at least one.
        records: those that were run.
        config: the checkpoint's.
        pictures: whether images and texts of the data may be shown.
        matching: whether texts and images were trained to find one another.
    """
    files = {
        "plots/reliability.png": reliability_plot(outputs, records, config),
        **confusion_plots(outputs, records, config),
    }
    if pictures:
        files["pictures/retrieval.jpg"] = retrieval_sheet(outputs, records) if matching else b""
        files["pictures/errors.jpg"] = error_sheet(outputs, records, config)
        files["pictures/captions.jpg"] = caption_sheet(outputs, records)
        files["pictures/recordings.png"] = spectrogram_sheet(outputs, records, config)
    return {name: data for name, data in files.items() if data}
