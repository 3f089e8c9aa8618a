"""What is served: models and galleries, and where they are."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from app.setting_groups.group import Group
from app.setting_groups.lists import split

_MODEL = r"[A-Za-z0-9][A-Za-z0-9_.-]*(@[1-9][0-9]*)?"


class Content(Group):
    """Checkpoints and galleries."""

    checkpoints: Path = Field(Path("checkpoints"), description="Folder of trained models, <name>/<version>.")
    data: Path = Field(Path("data"), description="Folder for what the service keeps: the galleries.")
    galleries: Literal["live", "seed"] = Field(
        "live", description="live: galleries that change, kept in the data folder; seed: those of the checkpoints."
    )
    database_url: str = Field(
        "",
        repr=False,
        pattern=r"^(postgres(ql)?://\S+)?$",
        description="PostgreSQL with pgvector for live galleries that replicas share; empty: the data folder.",
    )
    models: str = Field(
        "",
        pattern=rf"^\s*({_MODEL}(\s*,\s*{_MODEL})*)?\s*$",
        description="Models, e.g. fashion,digits@2,digits@1: the first is the default, the first of a name its "
        "current version. Empty: the newest of each.",
    )
    poll_seconds: float = Field(
        0.0, ge=0, description="Time between looks for newer versions of models without @version; 0 is never."
    )
    load_timeout_seconds: float = Field(
        300.0, gt=0, description="Time to read and try a version that is loaded later, before it is refused."
    )
    checkpoint_sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 that the checkpoint's config.json must have."
    )

    @property
    def wanted_models(self) -> list[tuple[str, int | None]]:
        """The models to serve, as (name, version); None is the newest version. Empty: every model found."""
        wanted = []
        for part in split(self.models):
            name, _, version = part.partition("@")
            wanted.append((name, int(version) if version else None))
        return wanted
