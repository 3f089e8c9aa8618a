"""A draft as the text of a recipe: TOML, with what was seen and chosen as comments."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.config import MODALITIES
from training.drafting.draft import Draft
from training.drafting.sizing import FEW_ROWS, NUM_BLOCKS
from training.drafting.survey import shorten
from training.recipe import Stage

_WIDTH = 34  # column at which comments begin


def to_toml(draft: Draft, *, name: str, manifest: str, command: str) -> str:
    """The recipe.

    Args:
        draft: what was decided.
        name: of the model.
        manifest: its path, relative to the recipe.
        command: how to train with it, for the first line.
    """
    seed = "decides what is drawn at random: splits, first weights, order"
    if draft.carve.seed:
        seed += "; the first to give val and test a fair share of the groups"
    parts = [
        [f"# Drafted by `python -m training init` from {shorten(draft.path.name, 80)}. {command}"],
        *([_remark("WARNING: " + warning)] for warning in draft.guess.warnings),
        [
            _line("name", name, "the model's name: checkpoints/<name>/<version>, and the path to ask it at"),
            _line("seed", draft.carve.seed, seed),
        ],
        _data(draft, manifest),
        _columns(draft),
        *_preprocessing(draft),
        *_network(draft),
        *_objective(draft),
        *(_stage(name, stage) for name, stage in draft.sizes.stages.items()),
        ["[gallery]", _line("max_items", draft.sizes.gallery_items, "items to search; 4,000 at most")],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _data(draft: Draft, manifest: str) -> list[str]:
    carve = draft.carve
    lines = ["[data]", _line("manifest", manifest, "relative to this file; --data overrides it")]
    for split, share in (("val", carve.val), ("test", carve.test)):
        how = "as the split column says" if split in carve.given else f"carved with seed {carve.seed}"
        lines.append(_line(f"{split}_fraction", share, f"{carve.count(split):,} rows, {how}"))
    return [*lines, _line("licence", "", "source and licence of the data, for the model card")]


def _columns(draft: Draft) -> list[str]:
    guess = draft.guess
    lines = ["[data.columns]"]
    for role in ("id", "image", "split"):
        lines += [_line(role, column, seen) for column, seen in guess.roles.get(role, {}).items()]
    if not guess.names("id"):
        lines.append("# no id: no column with a value of its own for each row; its number is its id")
    lines += _names("text", guess.roles.get("text", {}), "what is read; several columns are several captions")
    lines += _sensors(draft)
    lines += _names("labels", guess.roles.get("labels", {}), "what is told, one classification head each")
    lines += _names("targets", guess.roles.get("targets", {}), "numbers that are told, one regression head each")
    repeats = dict.fromkeys(guess.names("text"), "equal texts")
    group = {name: guess.roles.get("group", {}).get(name, repeats.get(name, "")) for name in draft.carve.group}
    lines += _names("group", group, "rows that share one of these never straddle a split; nor do equal images")
    for name in draft.carve.dropped:
        why = (
            "the manifest gives the splits"
            if guess.names("split")
            else "it would put too many rows into one group"
        )
        lines.append(f"# not in group: {shorten(name)}: {why}")
    numbers = {
        name: f"{seen}; a number: put it into sensors if it is measured beside the rest, or into targets"
        for name, seen in guess.roles.get("numbers", {}).items()
    }
    lines += _names(
        "metadata", {**guess.roles.get("metadata", {}), **numbers}, "kept with an item of the gallery, not learnt"
    )
    lines.append(_line("missing", ["", *draft.gaps.missing], _gaps(draft)))
    return lines + [f"# not used: {shorten(name)}: {why}" for name, why in guess.left_out.items()]


def _sensors(draft: Draft) -> list[str]:
    seen, comment = draft.guess.roles.get("sensors", {}), "what is measured, a channel each"
    objects = [name for name in seen if any(isinstance(one, dict) for one in draft.columns[name].readings)]
    if objects:
        return [_line("sensors", objects[0], seen[objects[0]])]
    return _names("sensors", seen, comment)


def _gaps(draft: Draft) -> str:
    if not draft.gaps.kept:
        return 'cells that mean "no value"'
    kept = ", ".join(json.dumps(marker) for marker in draft.gaps.kept)
    return f'cells that mean "no value"; {kept} occurs too, and is an ordinary value unless you add it'


def _preprocessing(draft: Draft) -> list[list[str]]:
    parts = []
    if draft.facts.images:
        sides = sorted(draft.facts.image_sides)
        seen = f"; the images have {sides[len(sides) // 2]} and more" if sides else ""
        parts.append(
            [
                "[preprocessing.image]",
                _line("side_px", draft.sizes.side_px, f"pixels a side that the network sees{seen}"),
                _line("resize", draft.resize[0], draft.resize[1] or "squash, pad or crop to a square"),
            ]
        )
    if draft.text is not None:
        seen = f"subwords that are read of a text; 99 in 100 have at most {draft.text.long}"
        parts.append(["[preprocessing.text]", _line("max_tokens", draft.text.max_tokens, seen)])
    if draft.steps:
        seen = "newest readings of each channel that are looked at"
        parts.append(["[preprocessing.sensors]", _line("steps", draft.steps, seen)])
    return parts


def _network(draft: Draft) -> list[list[str]]:
    small = draft.sizes.is_small
    parts = [
        [
            "[network]",
            _line(
                "width", 128 if small else 256, f"of every vector inside; {draft.facts.train:,} rows to train on"
            ),
            _line("fusion", "gated", "how the modalities are joined; `compare` tries the others"),
            _line("fusion_dropout", 0.2 if small else 0.3, "share of a vector's numbers that a step blanks"),
        ]
    ]
    if draft.facts.images:
        parts.append(_image_encoder(draft))
    if draft.text is not None:
        parts.append(
            [
                "[network.text]",
                _line("vocab_size", draft.text.vocab_size, "subwords to learn from the texts"),
                _line("embedding", 64 if small else 128, "width of a subword's vector"),
                _line("hidden", 64 if small else 128, "width of the GRU, each way"),
                _line("dropout", 0.3, "share of the numbers that a step blanks"),
            ]
        )
    if draft.steps:
        kind = ("tcn", "convolutions over the steps") if draft.steps > 4 else ("mlp", "fully connected layers")
        parts.append(
            [
                "[network.sensors]",
                _line("kind", *kind),
                _line("hidden", 64, "width inside"),
                _line("dropout", 0.1, "share of the numbers that a step blanks"),
            ]
        )
    embedding = _line("dimensions", 64 if small else 128, "of the vectors that the gallery is searched by")
    return [*parts, ["[network.embedding]", embedding]]


def _image_encoder(draft: Draft) -> list[str]:
    frozen, small, few = draft.sizes.frozen_blocks, draft.sizes.is_small, draft.facts.train < FEW_ROWS
    why = "the rest is trained"
    if frozen == NUM_BLOCKS:
        why = "so few images would only spoil what ImageNet taught" if few else "all, to keep to an hour"
    return [
        "[network.image]",
        _line("backbone", "tf_efficientnet_lite0", "its ImageNet weights come as a package"),
        _line("frozen_blocks", frozen, f"of {NUM_BLOCKS}, whose output is cached; {why}"),
        _line("colour_bins", 4 if small else 6, "a channel, of the colour histogram; 0 for none"),
        _line("hidden", 128 if small else 384, "width of the layer above the backbone"),
        _line("dropout", 0.3 if draft.facts.train < 5_000 else 0.2, "more for fewer rows"),
    ]


def _objective(draft: Draft) -> list[list[str]]:
    sizes, pairs = draft.sizes, bool(draft.facts.images) and draft.facts.has_text
    parts = [["[objective]"]]
    if draft.guess.names("labels"):
        parts[0].append(_line("label_smoothing", 0.1, "share of each label's weight that all labels get"))
    parts[0].append(
        _line("contrastive", 1.0, "weight of telling which image belongs to which text")
        if pairs
        else _line("contrastive", 0.0, "needs images and texts")
    )
    lines = ["[augmentation]"]
    if draft.facts.images:
        crop, cells = min(3, sizes.map_cells // 4), sizes.map_cells
        mixes = draft.guess.names("labels") and not draft.guess.names("targets") and not sizes.is_small
        slow = "" if sizes.mirror or draft.mirror_fault else "twice the time to cache"
        lines += [
            _line(
                "mirror",
                sizes.mirror,
                draft.mirror_fault or slow or "left and right mean nothing here, as far as was seen",
            ),
            _line("map_crop", crop, f"cells a random window loses, at most; the cached maps have {cells} a side"),
            _line("map_mixup", 0.5 if mixes else 0.0, "chance that a batch of images is blended with itself"),
            _line("map_cutout", 0.0, "chance that a square of a map is blanked"),
            _line("map_noise", 0.1, "deviation of a map's random gain"),
        ]
    if draft.text is not None:
        lines.append(_line("subword_dropout", 0.1, "share of subwords that a step hides"))
    if draft.steps:
        lines.append(_line("sensor_noise", 0.05, "what is added to readings, in deviations of each channel"))
        lines.append(_line("sensor_channel_dropout", 0.1, "chance that a channel is missing"))
    return [*parts, lines]


_STAGES = {
    "image": "the image encoder alone, with heads of its own",
    "text": "the text encoder alone, with heads of its own",
    "sensors": "the encoder of sensors alone, with heads of its own",
    "fusion": "fusion and heads, on what the encoders give",
    "joint": "everything together",
}


def _stage(name: str, stage: Stage) -> list[str]:
    lines = [
        f"{f'[stages.{name}]':<{_WIDTH - 1}} # {_STAGES[name]}",
        _line("epochs", stage.epochs, "times that every row is seen"),
        _line("batch_size", stage.batch_size, "rows in a step"),
        _line("learning_rate", stage.learning_rate, "of new layers; halve it if the loss jumps"),
    ]
    if stage.backbone_learning_rate:
        lines.append(
            _line("backbone_learning_rate", stage.backbone_learning_rate, "of the blocks that are not frozen")
        )
    if "ema_decay" in stage.model_fields_set:
        lines.append(_line("ema_decay", stage.ema_decay, "of the average of the weights, which is what is kept"))
    return lines


def _names(key: str, seen: Mapping[str, str], comment: str) -> list[str]:
    """A list of columns, one a line, each with what was seen."""
    if not seen:
        return []
    items = [f"    {f'{_value(name)},':<{_WIDTH - 5}} # {remark}" for name, remark in seen.items()]
    return [f"{f'{key} = [':<{_WIDTH - 1}} # {comment}", *items, "]"]


def _line(key: str, value: Any, comment: str) -> str:
    return f"{f'{key} = {_value(value)}':<{_WIDTH - 1}} # {comment}"


def _value(value: Any) -> str:
    """A TOML value. Its strings are JSON's, but that DEL is escaped too."""
    if isinstance(value, float) and 0 < value < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _remark(text: str, width: int = 110) -> str:
    """A comment, broken into lines."""
    lines: list[str] = []
    for word in shorten(text, 2_000).split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"# {word}")
    return "\n".join(lines)


def summary(draft: Draft) -> Sequence[str]:
    """What was seen and chosen, in a few lines for a terminal."""
    guess, facts, sizes = draft.guess, draft.facts, draft.sizes
    lines = [f"{draft.path}: {facts.rows:,} rows, {len(draft.columns)} columns."]
    for role, columns in guess.roles.items():
        shown = [f"{shorten(name)} ({shorten(seen, 60)})" for name, seen in list(columns.items())[:4]]
        more = f" and {len(columns) - 4} more" if len(columns) > 4 else ""
        lines.append(f"  {role:<9} {', '.join(shown)}{more}")
    if guess.left_out:
        lines.append(f"  not used  {', '.join(shorten(name) for name in guess.left_out)}")
    counts = ", ".join(f"{draft.carve.count(split):,} {split}" for split in ("train", "val", "test"))
    lines.append(f"  splits    {counts}" + (f", by {', '.join(draft.carve.group)}" if draft.carve.group else ""))
    chosen = [f"{name} {stage.epochs}" for name, stage in sizes.stages.items()]
    if facts.images:
        chosen.append(
            f"{sizes.side_px} px ({draft.resize[0]}), {sizes.frozen_blocks} of {NUM_BLOCKS} blocks frozen"
        )
    if draft.text is not None:
        chosen.append(f"{draft.text.max_tokens} subwords of a text")
    known = " + ".join(name for name in MODALITIES if guess.names(name))
    lines.append(f"Chosen for {facts.train:,} rows of {known}: epochs {', '.join(chosen)}.")
    time = f"about {draft.minutes} minutes" if draft.minutes > 1 else "about a minute"
    return [*lines, f"Training takes {time} on two idle cores."]
