"""A draft as the text of a recipe: TOML, with what was seen and chosen as comments."""

import json

from training.drafting.draft import Draft
from training.drafting.lines import WIDTH, broken_comment, line, names_of
from training.drafting.sizing import FEW_ROWS, NUM_BLOCKS
from training.drafting.survey import shorten, words
from training.recipe import Stage

FEW_WORDS = 100
"""Different words in all transcripts, up to which each is a token; beyond, they are spelt."""


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
        *([broken_comment("WARNING: " + warning)] for warning in draft.guess.warnings),
        [
            line("name", name, "the model's name: checkpoints/<name>/<version>, and the path to ask it at"),
            line("seed", draft.carve.seed, seed),
        ],
        _data(draft, manifest),
        _columns(draft),
        *_preprocessing(draft),
        *_network(draft),
        *_objective(draft),
        *(_stage(name, stage) for name, stage in draft.sizes.stages.items()),
        ["[gallery]", line("max_items", draft.sizes.gallery_items, "items to search; 4,000 at most")],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _data(draft: Draft, manifest: str) -> list[str]:
    carve = draft.carve
    lines = ["[data]", line("manifest", manifest, "relative to this file; --data overrides it")]
    for split, share in (("val", carve.val), ("test", carve.test)):
        how = "as the split column says" if split in carve.given else f"carved with seed {carve.seed}"
        lines.append(line(f"{split}_fraction", share, f"{carve.count(split):,} rows, {how}"))
    return [*lines, line("licence", "", "source and licence of the data, for the model card")]


def _columns(draft: Draft) -> list[str]:
    guess = draft.guess
    lines = ["[data.columns]"]
    for role in ("id", "image", "audio", "transcript", "speaker", "split"):
        lines += [line(role, column, seen) for column, seen in guess.roles.get(role, {}).items()]
    if not guess.names("id"):
        lines.append("# no id: no column with a value of its own for each row; its number is its id")
    lines += names_of("text", guess.roles.get("text", {}), "what is read; several columns are several captions")
    lines += _sensors(draft)
    lines += names_of("labels", guess.roles.get("labels", {}), "what is told, one classification head each")
    lines += names_of("targets", guess.roles.get("targets", {}), "numbers that are told, one regression head each")
    repeats = dict.fromkeys(guess.names("text"), "equal texts")
    group = {name: guess.roles.get("group", {}).get(name, repeats.get(name, "")) for name in draft.carve.group}
    lines += names_of("group", group, "rows that share one of these never straddle a split; nor do equal images")
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
    lines += names_of(
        "metadata", {**guess.roles.get("metadata", {}), **numbers}, "kept with an item of the gallery, not learnt"
    )
    lines.append(line("missing", ["", *draft.gaps.missing], _gaps(draft)))
    return lines + [f"# not used: {shorten(name)}: {why}" for name, why in guess.left_out.items()]


def _sensors(draft: Draft) -> list[str]:
    seen, comment = draft.guess.roles.get("sensors", {}), "what is measured, a channel each"
    objects = [name for name in seen if any(isinstance(one, dict) for one in draft.columns[name].readings)]
    if objects:
        return [line("sensors", objects[0], seen[objects[0]])]
    return names_of("sensors", seen, comment)


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
                line("side_px", draft.sizes.side_px, f"pixels a side that the network sees{seen}"),
                line("resize", draft.resize[0], draft.resize[1] or "squash, pad or crop to a square"),
            ]
        )
    if draft.text is not None:
        seen = f"subwords that are read of a text; 99 in 100 have at most {draft.text.long}"
        parts.append(["[preprocessing.text]", line("max_tokens", draft.text.max_tokens, seen)])
    if draft.facts.has_audio:
        parts.append(_hearing(draft))
    if draft.steps:
        seen = "newest readings of each channel that are looked at"
        parts.append(["[preprocessing.sensors]", line("steps", draft.steps, seen)])
    return parts


def _network(draft: Draft) -> list[list[str]]:
    small = draft.sizes.is_small
    parts = [
        [
            "[network]",
            line(
                "width", 128 if small else 256, f"of every vector inside; {draft.facts.train:,} rows to train on"
            ),
            line("fusion", "gated", "how the modalities are joined; `compare` tries the others"),
            line("fusion_dropout", 0.2 if small else 0.3, "share of a vector's numbers that a step blanks"),
        ]
    ]
    if draft.facts.images:
        parts.append(_image_encoder(draft))
    if draft.text is not None:
        parts.append(
            [
                "[network.text]",
                line("vocab_size", draft.text.vocab_size, "subwords to learn from the texts"),
                line("embedding", 64 if small else 128, "width of a subword's vector"),
                line("hidden", 64 if small else 128, "width of the GRU, each way"),
                line("dropout", 0.3, "share of the numbers that a step blanks"),
            ]
        )
    if draft.facts.has_audio:
        parts += _ear(draft)
    if draft.steps:
        kind = ("tcn", "convolutions over the steps") if draft.steps > 4 else ("mlp", "fully connected layers")
        parts.append(
            [
                "[network.sensors]",
                line("kind", *kind),
                line("hidden", 64, "width inside"),
                line("dropout", 0.1, "share of the numbers that a step blanks"),
            ]
        )
    embedding = line("dimensions", 64 if small else 128, "of the vectors that the gallery is searched by")
    return [*parts, ["[network.embedding]", embedding]]


def _image_encoder(draft: Draft) -> list[str]:
    frozen, small, few = draft.sizes.frozen_blocks, draft.sizes.is_small, draft.facts.train < FEW_ROWS
    why = "the rest is trained"
    if frozen == NUM_BLOCKS:
        why = "so few images would only spoil what ImageNet taught" if few else "all, to keep to an hour"
    return [
        "[network.image]",
        line("backbone", "tf_efficientnet_lite0", "its ImageNet weights come as a package"),
        line("frozen_blocks", frozen, f"of {NUM_BLOCKS}, whose output is cached; {why}"),
        line("colour_bins", 4 if small else 6, "a channel, of the colour histogram; 0 for none"),
        line("hidden", 128 if small else 384, "width of the layer above the backbone"),
        line("dropout", 0.3 if draft.facts.train < 5_000 else 0.2, "more for fewer rows"),
    ]


def _hearing(draft: Draft) -> list[str]:
    seconds = sorted(sound.seconds for sound in draft.sounds)
    seen = f"; they last {seconds[len(seconds) // 2]:.1f} s, at most {seconds[-1]:.1f} s" if seconds else ""
    return [
        "[preprocessing.audio]",
        line("rate_hz", draft.rate_hz, f"what recordings are resampled to{seen}"),
        line("num_mels", 32, "bands of the spectrum, as the pretrained ear has them"),
        line("bands", "speech_embedding", "where they lie; htk for an ear of your own"),
    ]


def _ear(draft: Draft) -> list[list[str]]:
    ear = [
        "[network.audio]",
        line("kind", "speech_embedding", "pretrained on speech, by a package; what is above is trained"),
        line("hidden", 96, "width of the layers above it, each way"),
        line("layers", 1, "recurrent layers that read its frames"),
        line("dropout", 0.3, "share of the numbers that a step blanks"),
    ]
    said = draft.guess.name("transcript")
    if said is None:
        return [ear]
    different = len(set(words(draft.columns[said].strings)))
    units = "words" if different <= FEW_WORDS else "characters"
    remark = f"what is read off, one by one; {different:,} different words were seen"
    return [ear, ["[network.transcript]", line("units", units, remark)]]


def _objective(draft: Draft) -> list[list[str]]:
    sizes, pairs = draft.sizes, bool(draft.facts.images) and draft.facts.has_text
    parts = [["[objective]"]]
    if draft.guess.names("labels"):
        parts[0].append(line("label_smoothing", 0.1, "share of each label's weight that all labels get"))
    parts[0].append(
        line("contrastive", 1.0, "weight of telling which image belongs to which text")
        if pairs
        else line("contrastive", 0.0, "needs images and texts")
    )
    lines = ["[augmentation]"]
    if draft.facts.images:
        crop, cells = min(3, sizes.map_cells // 4), sizes.map_cells
        mixes = draft.guess.names("labels") and not draft.guess.names("targets") and not sizes.is_small
        slow = "" if sizes.mirror or draft.mirror_fault else "twice the time to cache"
        lines += [
            line(
                "mirror",
                sizes.mirror,
                draft.mirror_fault or slow or "left and right mean nothing here, as far as was seen",
            ),
            line("map_crop", crop, f"cells a random window loses, at most; the cached maps have {cells} a side"),
            line("map_mixup", 0.5 if mixes else 0.0, "chance that a batch of images is blended with itself"),
            line("map_cutout", 0.0, "chance that a square of a map is blanked"),
            line("map_noise", 0.1, "deviation of a map's random gain"),
        ]
    if draft.text is not None:
        lines.append(line("subword_dropout", 0.1, "share of subwords that a step hides"))
    if draft.facts.has_audio:
        lines.append(line("audio_noise", 0.7, "chance that noise is added to a recording"))
        lines.append(
            line("audio_time_mask", 0.0, "share of the time that is blanked; none: the ear knows no holes")
        )
        lines.append(line("audio_band_mask", 0.0, "the same of the bands"))
    if draft.steps:
        lines.append(line("sensor_noise", 0.05, "what is added to readings, in deviations of each channel"))
        lines.append(line("sensor_channel_dropout", 0.1, "chance that a channel is missing"))
    return [*parts, lines]


_STAGES = {
    "image": "the image encoder alone, with heads of its own",
    "text": "the text encoder alone, with heads of its own",
    "audio": "the encoder of recordings alone, with heads of its own",
    "sensors": "the encoder of sensors alone, with heads of its own",
    "fusion": "fusion and heads, on what the encoders give",
    "joint": "everything together",
}


def _stage(name: str, stage: Stage) -> list[str]:
    lines = [
        f"{f'[stages.{name}]':<{WIDTH - 1}} # {_STAGES[name]}",
        line("epochs", stage.epochs, "times that every row is seen"),
        line("batch_size", stage.batch_size, "rows in a step"),
        line("learning_rate", stage.learning_rate, "of new layers; halve it if the loss jumps"),
    ]
    if stage.backbone_learning_rate:
        lines.append(
            line("backbone_learning_rate", stage.backbone_learning_rate, "of the blocks that are not frozen")
        )
    if "ema_decay" in stage.model_fields_set:
        lines.append(line("ema_decay", stage.ema_decay, "of the average of the weights, which is what is kept"))
    return lines
