"""The command `init`. Imports no torch, so that it answers in a second or two."""

import argparse
import os
import re
import shlex
import tomllib
from pathlib import Path

from models.errors import ConfigError
from training.drafting.draft import make_draft
from training.drafting.summary import summary
from training.drafting.toml import to_toml
from training.recipe import Recipe


def init(options: argparse.Namespace) -> int:
    """Write a recipe for a manifest, and print what was seen, chosen, and comes next."""
    out: Path = options.out
    if out.exists() and not options.force:
        raise ConfigError(f"{out} is there already. Give another name with --out, or replace it with --force.")
    name = (
        options.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", options.manifest.resolve().stem).strip("-._") or "model"
    )
    draft = make_draft(options.manifest)
    manifest = Path(os.path.relpath(options.manifest, out.parent)).as_posix()
    check, train = (f"python -m training {command} {shlex.quote(str(out))}" for command in ("check", "train"))
    text = to_toml(draft, name=name[:64], manifest=manifest, command=train)
    Recipe.parse(tomllib.loads(text), str(out))  # a --name that is none, say
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    lines = [*summary(draft), *(f"WARNING: {line}" for line in draft.guess.warnings), f"Wrote {out}."]
    if draft.can_learn:
        lines += [f"Read it, then:\n  {check}\n  {train}"]
    else:
        lines += [
            "It cannot be trained yet: the numbers are all there is to learn, and there are no heads for them."
        ]
    print("\n".join(lines))
    return 0
