"""The words of a report: a version's model card, or what an evaluation found.

Every figure comes from the metrics; links are made only to the files that are there."""

from collections.abc import Collection, Mapping
from typing import Any

from models.calibration import subset_name
from models.checkpoint import CheckpointConfig
from training.report.inputs import channels_table, trust_words
from training.report.markdown import image, section
from training.report.tables import (
    accuracy_table,
    calibration_table,
    confusions_table,
    coverage_table,
    gain_table,
    intervals_table,
    label_sets_table,
    labels_table,
    missing_table,
    numbers_table,
    retrieval_table,
    same_label_table,
    stages_table,
    transcript_table,
    writing_table,
)

LIMITS = (
    "Scores are calibrated on data like the training data; on other data they are no probabilities. Labels that "
    "are rare in training are rarely predicted. What the data labels wrongly is learnt wrongly. An input unlike "
    "all training data gets a label all the same."
)


def _unsaid(provenance: Mapping[str, Any]) -> str:
    """Which rows subsets are judged on that lack what says what is meant."""
    rule = provenance.get("recipe", {}).get("objective", {}).get("unsaid")
    if not rule:
        return ""
    heads = " and ".join(rule["means"])
    meant = " and ".join(f"{head} is {label}" for head, label in rule["means"].items())
    said = " and ".join(rule["without"])
    return f" Without {said}, they are of the rows where {meant}, and say nothing of {heads}."


def model_card(config: CheckpointConfig, metrics: Mapping[str, Any], files: Collection[str]) -> str:
    """MODEL_CARD.md.

    Args:
        config: the version's.
        metrics: what metrics.json holds.
        files: names of the plots and pictures beside the card.
    """
    facts, provenance = metrics["data"], config.provenance
    # A manifest without test rows is measured on val, and that has to be said.
    split = "test" if facts["splits"]["test"] else "val"
    remark = "No row is in test: epochs and temperatures were chosen on these rows."
    if split == "test":
        remark = "Epochs, temperatures and the recipe were chosen on val, whose figures are in `metrics.json`."
    remark += _unsaid(provenance)
    parts = [
        section(f"# {config.name} {metrics['version']}", _summary(config)),
        section("## Data", provenance["data_licence"] or "Source and licence: not given.", *_data(facts)),
        section(f"## Figures on the {split} split, {facts['splits'][split]:,} rows", remark),
        *_figures(config, metrics["test"], metrics["fusion_gain"]["test"], files),
        section("## Sensors", channels_table(config)),
        section("## When not to trust an answer", trust_words(config)),
        _training(config, metrics, files),
        section("## Use and limits", LIMITS, labels_table(facts)),
    ]
    return _joined(parts)


def evaluation_report(config: CheckpointConfig, metrics: Mapping[str, Any], files: Collection[str]) -> str:
    """REPORT.md of a checkpoint on a manifest. Arguments as for `model_card`."""
    facts, provenance = metrics["data"], config.provenance
    where = "all splits" if metrics["split"] == "all" else f"split {metrics['split']}"
    trained_on = facts["hash"] == provenance.get("data_hash") and metrics["split"] in ("all", "train")
    seen = "**The model was trained on rows of these: they say nothing of other data.**" if trained_on else ""
    origin = (
        f"Trained on: {provenance.get('data_licence') or 'source and licence not given.'} Image weights from: "
        f"{provenance.get('pretrained', 'not noted')}."
    )
    parts = [
        section(f"# {metrics['checkpoint']} on {facts['manifest']}, {where}", _summary(config), origin),
        section("## Data", *_data(facts)),
        section(f"## Figures on {metrics['rows']:,} rows ({where})", f"`{metrics['command']}`", seen),
        *_figures(config, metrics["subsets"], metrics["fusion_gain"], files),
        section("## Limits", LIMITS),
    ]
    return _joined(parts)


def _summary(config: CheckpointConfig) -> str:
    heads = ", ".join(f"{head} ({len(part.labels)} labels)" for head, part in config.network.classes.items())
    numbers = ", ".join(
        f"{head} ({part.unit})" if part.unit else head for head, part in config.network.targets.items()
    )
    scores = (f"scores of {heads} and " if heads else "") + (f"the numbers {numbers} and " if numbers else "")
    if (transcript := config.network.transcript) is not None:
        scores += f"what is said (by {len(transcript.tokens) - 1:,} {transcript.units}) and "
    if (caption := config.network.caption) is not None:
        reads = " and ".join(caption.reads)
        scores += f"a text about the item (by {len(caption.tokens):,} subwords, looking at {reads}) and "
    return (
        f"A multimodal model trained by Intermodal. Any subset of {', '.join(config.network.modalities)} goes in; "
        f"{scores}an embedding of {config.network.embedding.dimensions} numbers{_for_retrieval(config)} come out."
    )


def _for_retrieval(config: CheckpointConfig) -> str:
    """What the embedding is for, if it is for anything."""
    recipe = config.provenance.get("recipe", {})
    weights = [recipe.get("objective", {}).get(name, 1.0) for name in ("contrastive", "contrastive_fused")]
    searched = any(weights) or recipe.get("gallery", {}).get("max_items", 1)
    return " for retrieval" if searched else " (which nothing was trained to compare)"


def _data(facts: Mapping[str, Any]) -> list[str]:
    sizes = ", ".join(f"{count:,} {split}" for split, count in facts["splits"].items() if count)
    repeated = "; ".join(f"{count:,} repeat the {name}" for name, count in facts["repeated"].items())
    joined = f" Of an earlier row, {repeated}; rows that share one are all in one split." if repeated else ""
    counts = [f"{facts[name]:,} distinct {name}" for name in ("images", "recordings") if facts.get(name)]
    images = f" with {' and '.join(counts)}" if counts else ""
    missing = missing_table(facts)
    return [
        f"`{facts['manifest']}`, hash {facts['hash'][:12]}: {facts['rows']:,} rows{images} ({sizes}).{joined}",
        missing or "No cell of an input or a label is empty.",
    ]


def _figures(
    config: CheckpointConfig, subsets: Mapping[str, Any], gain: Mapping[str, Any], files: Collection[str]
) -> list[str]:
    """The sections that a card and an evaluation share."""
    fused = subset_name(config.network.modalities)
    accuracies, retrieval, near = accuracy_table(subsets), retrieval_table(subsets), same_label_table(subsets)
    return [
        section("### Accuracy by what is given", accuracies and "± is the standard error.", accuracies),
        _others_section(subsets),
        _spoken_section(subsets, files),
        _written_section(subsets, files),
        _gain_section(gain, fused),
        section(
            "### Retrieval",
            retrieval and "Among the rows that have both; equal texts are equally right.",
            retrieval,
            near
            and "Rows of an equal label: each labelled row asks for all others by the vectors of what is given. "
            "Mean average precision, and in brackets nDCG@10. Other rows with an equal text count.",
            near,
            image("Queries drawn by a seed, not chosen; right answers in green", "pictures/retrieval.jpg", files),
        ),
        _calibration_section(subsets, files),
        section(
            "### Where it is wrong",
            image(
                "The wrong predictions that it was surest of: red what it says and how surely, green the label",
                "pictures/errors.jpg",
                files,
            ),
            *(
                image(f"Confusion: {name.removeprefix('plots/confusion-').removesuffix('.png')}", name, files)
                for name in files
                if name.startswith("plots/confusion-")
            ),
        ),
    ]


def _others_section(subsets: Mapping[str, Any]) -> str:
    """Heads of several labels, and of numbers."""
    sets, numbers, intervals = label_sets_table(subsets), numbers_table(subsets), intervals_table(subsets)
    return section(
        "### Several labels, and numbers",
        sets
        and "Mean average precision over the labels, and in brackets F1 over all of them at a score of one half.",
        sets,
        numbers and "Mean absolute error, and in brackets R², the share of variance explained.",
        numbers,
        intervals and "Intervals for 90 %: the share of numbers that they hold, and in brackets their mean width.",
        intervals,
    )


def _spoken_section(subsets: Mapping[str, Any], files: Collection[str]) -> str:
    rates, confusions = transcript_table(subsets), confusions_table(subsets)
    return section(
        "### What is said",
        rates
        and "Words put in, left out or taken for others, by the words that were said; the same of characters. "
        "Read greedily; case and punctuation do not count.",
        rates,
        confusions and "Words taken for others, the most frequent:",
        confusions,
        image(
            "Recordings as the network sees them, drawn by a seed: three that it reads wrongly where so many are",
            "pictures/recordings.png",
            files,
        ),
    )


def _written_section(subsets: Mapping[str, Any], files: Collection[str]) -> str:
    figures = writing_table(subsets)
    beams = next((heads["caption"]["num_beams"] for heads in subsets.values() if "caption" in heads), 0)
    return section(
        "### What it writes",
        figures
        and f"Beam search, {beams} beams; scored by pycocoevalcap. Words are compared in lower case without "
        "punctuation. Distinct: different words, and pairs of words, among all that were written.",
        figures,
        image(
            "The best and the worst by CIDEr: what was written, and below it what a person wrote",
            "pictures/captions.jpg",
            files,
        ),
    )


def _gain_section(gain: Mapping[str, Any], fused: str) -> str:
    accuracies, neighbours = gain_table(gain["accuracy"], fused), gain_table(gain["neighbours"], fused)
    return section(
        "### What fusion gains",
        accuracies
        and "Accuracy given everything, minus that of the best modality alone on the same rows: 1,000 paired "
        "bootstrap resamples of the rows. The best modality is chosen on these rows, which favours it a little; "
        "rows of one group (an equal title, say) are not independent, which makes the interval a little narrow.",
        accuracies,
        neighbours
        and "The same for neighbours: the mean share of a row's five nearest other rows that have its label, by "
        "the fused vectors and by one modality's. Rows with an equal text do not count.",
        neighbours,
    )


def _calibration_section(subsets: Mapping[str, Any], files: Collection[str]) -> str:
    errors, sets = calibration_table(subsets), coverage_table(subsets)
    return section(
        "### Calibration",
        errors
        and "Expected calibration error, ten bins of equal mass; in brackets what a perfectly calibrated model "
        "would show on as few rows.",
        errors,
        sets and "Prediction sets for 90 %: the share of labels that they hold, and in brackets their mean size.",
        sets,
        image("Share right against confidence", "plots/reliability.png", files),
    )


def _training(config: CheckpointConfig, metrics: Mapping[str, Any], files: Collection[str]) -> str:
    provenance = config.provenance
    commit = f", commit {provenance['commit']}" if provenance["commit"] else ""
    return section(
        "## Training",
        f"`python -m training train RECIPE --data {metrics['data']['manifest']}`; the recipe is in `config.json`, "
        "under `provenance`.",
        f"Seed {provenance['seed']}{commit}, torch {provenance['torch']}. Pretrained weights: "
        f"{provenance['pretrained']}. Hardware: {provenance['hardware']}.",
        "Accuracies are those of the validation split after the stage's last epoch, given all that it trains; of "
        "heads of several labels it is the mean average precision, and of numbers R².",
        stages_table(metrics["history"]),
        image("Validation accuracy and training loss by epoch", "plots/learning.png", files),
    )


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
