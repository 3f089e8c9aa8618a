"""Several trainings side by side, as a table and as a plot: mean and deviation over seeds, by modality subset."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from training.comparison import Trial
from training.report.markdown import table
from training.report.plots import png


def comparison_table(trials: Sequence[Trial]) -> str:
    """Markdown: for each name and subset the mean over heads, with the deviation over seeds; time and size."""
    subsets = subset_names(trials)
    rows = []
    for name, own in _by_name(trials).items():
        means = [subset_means(trial) for trial in own]
        cells = [_spread([mean[subset] for mean in means if subset in mean]) for subset in subsets]
        seconds = np.mean([trial.seconds for trial in own])
        rows.append((name, *cells, str(len(own)), f"{seconds:,.0f}", f"{own[0].num_parameters:,}"))
    return table(("", *subsets, "seeds", "seconds", "parameters trained"), rows)


def comparison_plot(trials: Sequence[Trial]) -> bytes:
    """PNG: a dot for each seed and a bar for their mean, one panel a subset."""
    subsets, named = subset_names(trials), _by_name(trials)
    figure = Figure(figsize=(3.2 * len(subsets) + 1.2, 0.42 * len(named) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for panel, subset in zip(panels, subsets, strict=True):
        for place, own in enumerate(named.values()):
            values = [mean[subset] for mean in map(subset_means, own) if subset in mean]
            if values:
                panel.barh(place, float(np.mean(values)), color="C0", alpha=0.35)
                panel.plot(values, [place] * len(values), "o", color="C0", markersize=4)
        least = min((m[subset] for m in map(subset_means, trials) if subset in m), default=0.0)
        panel.set(title=subset, xlim=(max(0.0, least - 0.05), None))
        panel.set_yticks(range(len(named)), list(named))
        panel.invert_yaxis()
        panel.grid(axis="x", alpha=0.3)
    figure.supxlabel("validation figure, mean over heads")
    return png(figure)


def subset_means(trial: Trial) -> dict[str, float]:
    """The mean over heads of each subset's figures."""
    parts: dict[str, list[float]] = {}
    for name, value in trial.figures.items():
        parts.setdefault(name.split("/")[0], []).append(value)
    return {name: float(np.mean(values)) for name, values in parts.items()}


def subset_names(trials: Sequence[Trial]) -> list[str]:
    """Every subset that a trial has figures of, in the order of the first."""
    return list(dict.fromkeys(name for trial in trials for name in subset_means(trial)))


def _by_name(trials: Sequence[Trial]) -> Mapping[str, list[Trial]]:
    named: dict[str, list[Trial]] = {}
    for trial in trials:
        named.setdefault(trial.name, []).append(trial)
    return named


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{deviation}"
