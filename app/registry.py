"""Which models are served: the versions of each that are loaded, and which of them is current.

One immutable tuple says it all, and is replaced at once: the first model of a name is that name's current version,
and the first of all is the default. Whoever took a model from it keeps that model until done.
Knows neither disk nor engine."""

from collections.abc import Iterable, Sequence

from app.refusals import ConflictError, NotFoundError
from app.served import Model


class Registry:
    """What is served now. Changed only within the event loop."""

    def __init__(self, models: Sequence[Model], kept: Iterable[tuple[str, int]] = ()) -> None:
        """Take over what is loaded at start.

        Args:
            models: the default first, and of each name its current version first.
            kept: names and versions that stay when another version becomes current.
        """
        self._models = tuple(models)
        self._kept = set(kept)
        self._newest: dict[str, int] = {}
        for model in models:
            self._note(model)

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model: the default first, and of each name its current version first."""
        return self._models

    @property
    def current(self) -> tuple[Model, ...]:
        """The current version of each name, the default first."""
        first: dict[str, Model] = {}
        for model in self._models:
            first.setdefault(model.name, model)
        return tuple(first.values())

    def get(self, name: str | None = None, version: str | None = None) -> Model:
        """The model of that name (default: the default model) and version (default: the current one).

        Raises:
            NotFoundError: listing the models that there are.
        """
        for model in self._models:
            if name in (None, model.name) and version in (None, str(model.version)):
                return model
        served = ", ".join(f"{model.name} (version {model.version})" for model in self._models)
        wanted = f"{name!r}" if version is None else f"{name!r} of version {version[:20]!r}"
        raise NotFoundError(f"No model {wanted} is served here. There are: {served}.")

    def versions(self, name: str) -> list[int]:
        """The versions of a name that are loaded, the current one first."""
        return [model.version for model in self._models if model.name == name]

    def newest(self, name: str) -> int | None:
        """The newest version of a name that was ever served here; None where none was."""
        return self._newest.get(name)

    def put(self, model: Model, *, current: bool = True, keep: bool = False) -> list[Model]:
        """Serve `model`, in place of others of its name that are not kept; where not `current`, beside them.

        Args:
            model: loaded and tried.
            current: whether it is to answer where no version is named.
            keep: whether it stays when another version becomes current. One that is not `current` always does.

        Returns:
            What is no longer served.
        """
        if keep or not current:
            self._kept.add((model.name, model.version))
        group = [other for other in self._models if other.name == model.name]
        others = [other for other in group if other.version != model.version]
        if current or not others:
            group = [model, *(other for other in others if (other.name, other.version) in self._kept)]
        else:
            group = [model if other.version == model.version else other for other in group]
            group += [] if model in group else [model]
        self._note(model)
        return self._publish(model.name, group)

    def replace(self, old: Model, new: Model) -> list[Model]:
        """Serve `new` in the very place of `old`, if that is still served. Returns as `put` does."""
        return self._publish(old.name, [new if m is old else m for m in self._models if m.name == old.name])

    def remove(self, name: str, version: int | None = None) -> list[Model]:
        """Serve a version, or a whole name, no longer. If the current one goes, the newest that is left follows.

        Returns:
            What is no longer served.

        Raises:
            NotFoundError: it is not served.
            ConflictError: it is all that there is of the default model.
        """
        going = self.get(name, None if version is None else str(version))
        group = [model for model in self._models if model.name == name]
        left = [] if version is None else [model for model in group if model is not going]
        if not left and name == self._models[0].name:
            raise ConflictError(
                f"The model {name!r} is the default, and this is the last that is loaded of it. "
                "Load another version of it first."
            )
        if left and going is group[0]:
            left.sort(key=lambda model: -model.version)
        self._kept -= {(model.name, model.version) for model in group if model not in left}
        return self._publish(name, left)

    def _publish(self, name: str, group: Sequence[Model]) -> list[Model]:
        """Replace the models of one name, each name keeping its place."""
        before = self._models
        groups = {other: [model for model in before if model.name == other] for other in _names(before)}
        groups[name] = list(group)
        self._models = tuple(model for models in groups.values() for model in models)
        return [model for model in before if model not in self._models]

    def _note(self, model: Model) -> None:
        self._newest[model.name] = max(model.version, self._newest.get(model.name, 0))


def _names(models: Iterable[Model]) -> list[str]:
    return list(dict.fromkeys(model.name for model in models))
