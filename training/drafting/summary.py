"""A draft in a few lines for a terminal."""

from collections.abc import Sequence

from models.config import MODALITIES
from training.drafting.draft import Draft
from training.drafting.sizing import NUM_BLOCKS
from training.drafting.survey import shorten


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
    if facts.has_audio:
        return [*lines, "How long training takes is not estimated where there are recordings."]
    time = f"about {draft.minutes} minutes" if draft.minutes > 1 else "about a minute"
    return [*lines, f"Training takes {time} on two idle cores."]
