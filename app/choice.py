"""Which models are served: what the settings name, or what there is."""

from app.settings import Settings
from models.checkpoint import find_versions
from models.errors import ConfigError

FLAGSHIP = "fashion"
"""The default model where the settings name none and it is there."""


def choose_models(settings: Settings) -> list[tuple[str, int]]:
    """Name and version of each model to serve, the default first.

    Raises:
        ConfigError: none is there, or not the ones that the settings name.
    """
    found = find_versions(settings.checkpoints)
    if not found:
        raise ConfigError(
            f"INTERMODAL_CHECKPOINTS (--checkpoints) is {str(settings.checkpoints)!r}, which holds no trained "
            "model. Name another folder, or train one: python -m training train recipes/quick.toml"
        )
    wanted = settings.wanted_models or [
        (name, None) for name in sorted(found, key=lambda name: (name != FLAGSHIP, name))
    ]
    chosen = []
    for name, version in wanted:
        versions = found.get(name, [])
        if not versions or version not in (None, *versions):
            there = ", ".join(f"{name}@{version}" for name, versions in found.items() for version in versions)
            asked = name if version is None else f"{name}@{version}"
            raise ConfigError(f"INTERMODAL_MODELS (--models) names {asked!r}. There are: {there}.")
        chosen.append((name, versions[-1] if version is None else version))
    return list(dict.fromkeys(chosen))


def choose_model(settings: Settings, wanted: str | None) -> tuple[str, int]:
    """Name and version of one: the default where `wanted` is None; of a name, the version that the settings serve.

    Of a model that they do not serve, the newest, or that of name@version. Raises as `choose_models` does.
    """
    for one in choose_models(settings):
        if wanted in (None, one[0]):
            return one
    return choose_models(settings.model_copy(update={"models": wanted}))[0]
