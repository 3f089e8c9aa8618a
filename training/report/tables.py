"""Tables of a report, from the figures in metrics.json. A table without rows is the empty string."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.report.markdown import table
from training.report.plots import stage_heads

Figures = Mapping[str, Mapping[str, Any]]


def accuracy_table(subsets: Figures) -> str:
    """Accuracy ± standard error by head and subset."""

    def cell(found: Mapping[str, Any]) -> str:
        return f"{found['accuracy']:.3f} ± {found['standard_error']:.3f}"

    return _by_head(subsets, "accuracy", cell)


def label_sets_table(subsets: Figures) -> str:
    """Mean average precision of heads of several labels by subset, and in brackets micro-F1."""

    def cell(found: Mapping[str, Any]) -> str:
        return f"{found['map']:.3f} ({found['f1']:.3f})" if "map" in found else f"({found['f1']:.3f})"

    return _by_head(subsets, "f1", cell)


def numbers_table(subsets: Figures) -> str:
    """Mean absolute error of heads that give a number by subset, and in brackets R²."""

    def cell(found: Mapping[str, Any]) -> str:
        return f"{found['mae']:.4g} ({found['r2']:.3f})" if "r2" in found else f"{found['mae']:.4g}"

    return _by_head(subsets, "mae", cell)


def intervals_table(subsets: Figures) -> str:
    """Intervals meant to hold 90 % of the numbers: the share that do, and in brackets their mean width."""

    def cell(found: Mapping[str, Any]) -> str:
        intervals = found.get("coverage_90")
        return f"{intervals['covered']:.3f} ({intervals['mean_width']:.4g})" if intervals else ""

    return _by_head(subsets, "mae", cell)


def calibration_table(subsets: Figures) -> str:
    """Expected calibration error by head and subset, and in brackets its floor."""
    return _by_head(subsets, "accuracy", lambda found: f"{found['ece']:.3f} ({found['ece_floor']:.3f})")


def coverage_table(subsets: Figures) -> str:
    """Prediction sets meant to hold 90 % of the labels: the share that do, and in brackets their mean size."""

    def cell(found: Mapping[str, Any]) -> str:
        sets = found.get("coverage_90")
        return f"{sets['covered']:.3f} ({sets['mean_size']:.1f})" if sets else ""

    return _by_head(subsets, "accuracy", cell)


def gain_table(gains: Figures, fused: str) -> str:
    """Fused against the best modality alone: the difference, its interval, and what that means in words."""
    rows = [
        [
            head,
            f"{gain['fused']:.3f}",
            f"{gain['alone']:.3f} ({gain['best']})",
            f"{gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]",
            in_words(gain["low"], gain["high"]),
        ]
        for head, gain in gains.items()
    ]
    return table(("head", fused, "best alone", "difference [95 % interval]", "fusion"), rows)


def in_words(low: float, high: float) -> str:
    """What an interval says: a gain or a loss only where all of it lies on one side of 0."""
    if low > 0:
        return "**gains**"
    return "**loses**" if high < 0 else "cannot be told from nothing"


def retrieval_table(subsets: Figures) -> str:
    """Recall, nDCG and median rank, text to image and back; and an index's recall where it was measured."""
    found = subsets.get("image+text", {}).get("retrieval", {})
    with_index = any("index_recall@10" in row for row in found.values())
    rows = [
        [
            way.replace("_", " "),
            *(f"{row[name]:.3f}" for name in ("r@1", "r@5", "r@10", "ndcg@10")),
            f"{row['median_rank']:g}",
            f"{row['gallery']:,}",
            *([f"{row['index_recall@10']:.4f}"] if with_index else []),
        ]
        for way, row in found.items()
    ]
    last = ("index's recall@10",) if with_index else ()
    return table(("retrieval", "R@1", "R@5", "R@10", "nDCG@10", "median rank", "gallery", *last), rows)


def transcript_table(subsets: Figures) -> str:
    """Word and character error rates by subset."""
    rows = [
        [subset, *(f"{found[name]:.3f}" for name in ("wer", "cer", "exact")), f"{found['rows']:,}"]
        for subset, heads in subsets.items()
        if (found := heads.get("transcript"))
    ]
    return table(("given", "word error rate", "character error rate", "without a fault", "recordings"), rows)


def confusions_table(subsets: Figures) -> str:
    """Words that were taken for others, the most frequent first."""
    found = subsets.get("audio", {}).get("transcript", {}).get("confusions", [])
    rows = [[said or "(nothing)", heard or "(nothing)", str(count)] for said, heard, count in found]
    return table(("said", "heard", "times"), rows)


def writing_table(subsets: Figures) -> str:
    """BLEU, ROUGE-L, CIDEr and how varied what is written is, by what is looked at."""
    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "distinct_1", "distinct_2")
    rows = [
        [subset, *(f"{found[name]:.3f}" for name in names), f"{found['words']:.1f}", f"{found['rows']:,}"]
        for subset, heads in subsets.items()
        if (found := heads.get("caption"))
    ]
    head = ("given", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "distinct 1", "distinct 2")
    return table((*head, "words", "items"), rows)


def same_label_table(subsets: Figures) -> str:
    """Mean average precision of rows of an equal label by head and subset, and in brackets nDCG@10."""

    def cell(found: Mapping[str, Any]) -> str:
        near = found.get("same_label")
        return f"{near['map']:.3f} ({near['ndcg@10']:.3f})" if near else ""

    return _by_head(subsets, "same_label", cell)


def stages_table(history: Sequence[Mapping[str, Any]]) -> str:
    """Each stage's epochs, time, last loss, and the validation accuracies that it ended with."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for entry in history:
        stages.setdefault(entry["stage"], []).append(entry)
    heads = list(dict.fromkeys(head for entries in stages.values() for head in stage_heads(entries[-1])))
    rows = []
    for stage, entries in stages.items():
        keys = stage_heads(entries[-1])
        rows.append(
            [
                stage,
                str(len(entries)),
                f"{sum(entry['seconds'] for entry in entries) / 60:.1f}",
                f"{entries[-1]['loss']:.3f}",
                *(f"{entries[-1][keys[head]]:.3f}" if head in keys else "" for head in heads),
            ]
        )
    return table(("stage", "epochs", "minutes", "last loss", *heads), rows)


def missing_table(facts: Mapping[str, Any]) -> str:
    """Empty cells by column and split."""
    splits = [split for split, count in facts["splits"].items() if count]
    rows = [
        [name, *(f"{counts[split]:,} of {facts['splits'][split]:,}" for split in splits)]
        for name, counts in facts["missing"].items()
    ]
    return table(("empty cells", *splits), rows)


def labels_table(facts: Mapping[str, Any]) -> str:
    """Labels by head, and how many of them training hardly saw."""
    rare = facts["rare_labels"]
    rows = [[head, str(count), str(rare[head])] for head, count in facts["labels"].items() if head in rare]
    return table(("head", "labels", "of them with fewer than 10 training rows"), rows)


def _by_head(subsets: Figures, figure: str, cell: Any) -> str:
    """A row for each head that has this figure, which tells of which kind it is."""
    heads = list(dict.fromkeys(head for part in subsets.values() for head in part if figure in part[head]))
    rows = [[head, *(cell(part[head]) if head in part else "" for part in subsets.values())] for head in heads]
    return table(("head", *subsets), rows if any(cell for row in rows for cell in row[1:]) else [])
