"""The command line of `python -m app gallery`: what is asked for, and lines that say how far it is."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.bulk.exporting import ITEMS, export_gallery
from app.bulk.importing import Imported, import_records
from app.bulk.options import Line, Say, add_columns, columns_of, read_settings, settings_parser
from app.bulk.parts import batched
from app.checkpoints import Checkpoints
from app.choice import choose_model
from app.served import Model
from app.settings import PROGRAM, Settings
from app.stores import KeptStore, database_store, open_store
from models.errors import ConfigError, ManifestError
from models.manifest import read_sound
from retrieval.gallery import WritableGallery
from retrieval.sqlite.store import SqliteStore

_COPY_ITEMS = 200


def main(arguments: Sequence[str], say: Say) -> int:
    """Run it; `say` takes each line for stdout. Returns 1 where something was at fault, 130 after Ctrl-C, else 0.

    Raises:
        ConfigError: no such model, gallery or column.
        GalleryError: a gallery cannot be read or written.
        ManifestError: rows that cannot be read, or none that is sound; nothing was written.
    """
    options = _parser().parse_args(arguments)
    settings = read_settings(options)
    store = open_store(settings)
    try:
        action: Callable[..., int] = {
            "import": _import, "export": _export, "verify": _verify, "copy": _copy
        }[options.action]  # fmt: skip
        return action(options, settings, store, say)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was written stays; the same command goes on.\n")
        return 130
    finally:
        store.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} gallery",
        description="Galleries read in, written out, checked and copied, while no service has them. "
        "Settings are flags here too: --data, --checkpoints.",
        allow_abbrev=False,
    )
    more: dict[str, Any] = {"parents": [settings_parser()], "allow_abbrev": False}
    actions = parser.add_subparsers(dest="action", required=True)
    reading = actions.add_parser(
        "import",
        help="embed and write the rows of a manifest",
        epilog="Without any columns, those that the model was trained on.",
        **more,
    )
    reading.add_argument("manifest", type=Path, help="CSV, JSONL or Parquet, or a folder of class folders")
    reading.add_argument("--gallery", help="which; the model's own where it is left out")
    reading.add_argument("--model", help="whose vectors a new gallery has; the default model")
    add_columns(reading)
    writing = actions.add_parser("export", help="write items.jsonl, images and recordings", **more)
    writing.add_argument("gallery")
    writing.add_argument("folder", type=Path)
    checking = actions.add_parser("verify", help="read galleries through for damage", **more)
    checking.add_argument("galleries", nargs="*", help="all where none is named")
    copying = actions.add_parser("copy", help="copy galleries with their vectors", **more)
    copying.add_argument("galleries", nargs="*", help="all where none is named")
    copying.add_argument("--to", required=True, help="another data folder, or a postgresql:// address")
    return parser


def _import(options: Any, settings: Settings, store: KeptStore, say: Say) -> int:
    name = options.gallery
    model = _load_model(settings, store, options.model or store.models().get(name or "") or None, say)
    gallery = model.gallery if name in (None, model.name) else model.others.get(name)
    records, faults = read_sound(options.manifest, columns_of(options, model.predictor.config))
    if not records:
        raise ManifestError(faults)
    gallery = gallery or store.open(name, model.embedding, model=model.name)  # not before there is a sound row
    limits = settings.decode_limits
    line = Line(len(records), say)
    done = import_records(
        records,
        options.manifest,
        model.predictor,
        _writable(gallery),
        limits,
        lambda so_far: line.show(so_far.num_done),
    )
    done.faults = faults + done.faults
    return _report(done, name or model.name, say)


def _report(done: Imported, name: str, say: Say) -> int:
    for fault in done.faults:
        sys.stderr.write(f"{fault}\n")
    kept = f", {done.num_kept:,} were there already" if done.num_kept else ""
    failed = f", {len(done.faults):,} are at fault" if done.faults else ""
    say(f"{name}: {done.num_written:,} items are written{kept}{failed}")
    return int(bool(done.faults))


def _export(options: Any, settings: Settings, store: KeptStore, say: Say) -> int:
    model = _load_model(settings, store, _known(store, options.gallery), say)
    gallery = model.galleries[options.gallery]
    line = Line(len(gallery), say)
    try:
        count = export_gallery(gallery, options.folder, line.show)
    except FileExistsError:
        raise ConfigError(f"{options.folder / ITEMS} is there already. Name another folder.") from None
    say(f"{options.gallery}: {count:,} items are in {options.folder / ITEMS}")
    return 0


def _verify(options: Any, _settings: Settings, store: KeptStore, say: Say) -> int:
    if not isinstance(store, SqliteStore):
        raise ConfigError("PostgreSQL verifies itself (pg_amcheck, data checksums); this is for the data folder.")
    status = 0
    for name in options.galleries or store.models():
        _known(store, name)
        faults = store.verify(name)
        say(f"{name}: {'sound' if not faults else f'{len(faults)} faults'}")
        for fault in faults:
            sys.stderr.write(f"{name}: {fault}\n")
            status = 1
    return status


def _copy(options: Any, _settings: Settings, store: KeptStore, say: Say) -> int:
    target = database_store(options.to) if "://" in options.to else SqliteStore(Path(options.to))
    try:
        for name in options.galleries or store.models():
            _known(store, name)
            description, count = store.describe(name), 0
            for part in batched(store.records(name), _COPY_ITEMS):
                target.receive(name, description, part)
                count += len(part)
            if not count:
                target.receive(name, description, [])
            say(f"{name}: {count:,} items are copied")
    finally:
        target.close()
    return 0


def _load_model(settings: Settings, store: KeptStore, name: str | None, say: Say) -> Model:
    return Checkpoints(settings, say, store).load(*choose_model(settings, name))


def _known(store: KeptStore, name: str) -> str:
    models = store.models()
    if name not in models:
        raise ConfigError(f"No gallery {name!r} in INTERMODAL_DATA. There are: {', '.join(models) or 'none'}.")
    return models[name]


def _writable(gallery: Any) -> WritableGallery:
    return gallery  # type: ignore[no-any-return]  # opened from a store, so it is one
