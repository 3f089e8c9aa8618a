"""The galleries that are served: which there are, of which model, and the one place where they are written.

Knows the store and the models; knows nothing of HTTP."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard, TypeVar

from app.refusals import ConflictError, NotFoundError, QueueFullError
from app.registry import Registry
from app.served import Model
from models.errors import InputError
from retrieval.gallery import Gallery, WritableGallery
from retrieval.store import Store

T = TypeVar("T")

WRITERS = 8  # threads: those that write at once share one flush of the disk
MAX_WRITES = 256  # that wait or are under way
_RETRY_SECONDS = 1.0


def is_writable(gallery: Gallery) -> TypeGuard[WritableGallery]:
    """Whether it is one that is kept, and not a checkpoint's seed."""
    return hasattr(gallery, "put")


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A gallery, seen through the current version of the model that it is of."""

    name: str
    model: Model
    gallery: Gallery

    def writable(self) -> WritableGallery:
        """The gallery, to be written.

        Raises:
            ConflictError: it only can be read.
        """
        if not is_writable(self.gallery):
            raise ConflictError(
                f"The gallery {self.name!r} can only be read here. Serve with INTERMODAL_GALLERIES=live, and with "
                "a data folder (INTERMODAL_DATA) that no other process has."
            )
        return self.gallery


class Galleries:
    """Finds galleries, makes and drops them, and runs what writes them. Used within the event loop."""

    def __init__(self, registry: Registry, store: Store | None) -> None:
        """Serve what the models have; without a store, nothing can be written."""
        self._registry = registry
        self._store = store
        self._writers = ThreadPoolExecutor(WRITERS, "gallery")
        self._num_writes = 0

    def get(self, name: str | None = None) -> Bound:
        """The gallery of that name; the default model's own where None.

        Raises:
            NotFoundError: listing the galleries that there are.
        """
        default = self._registry.models[0]
        wanted = default.name if name is None else name
        for model in self._registry.current:
            gallery = model.galleries.get(wanted)
            if gallery is not None:
                return Bound(wanted, model, gallery)
        if wanted in [model.name for model in self._registry.models]:
            raise NotFoundError(
                f"The model {wanted!r} has no gallery. Train it with one, serve with INTERMODAL_GALLERIES=live, "
                "or ask another model."
            )
        raise NotFoundError(f"No gallery {wanted[:60]!r} is served here. There are: {self._listed()}.")

    def of(self, model: Model, name: str | None) -> Gallery | None:
        """The gallery that a request to this very version names; its own, if it has one, where None.

        Raises:
            InputError: it has no such gallery.
        """
        if name is None:
            return model.gallery
        found = model.galleries.get(name)
        if found is None:
            there = ", ".join(model.galleries) or "none"
            raise InputError("gallery", f"the model {model.name!r} has no gallery {name[:60]!r}. It has: {there}.")
        return found

    def models(self) -> dict[str, str]:
        """By gallery, the model that it is of."""
        return {name: model.name for model in self._registry.current for name in model.galleries}

    async def create(self, name: str, model_name: str | None) -> bool:
        """Make a gallery of a model, of the default one where None. Whether it is new.

        Raises:
            NotFoundError: no such model is served.
            ConflictError: galleries can only be read here, or another model has one of this name.
            InputError: this cannot be a name.
        """
        store, model = self._some_store(), self._registry.get(model_name)
        owner = self.models().get(name)
        if owner is None and name in [one.name for one in self._registry.models]:
            owner = name
        if owner is not None:
            if owner != model.name:
                raise ConflictError(f"There is a gallery {name!r}, of the model {owner!r}. Choose another name.")
            return False
        for version in [one for one in self._registry.models if one.name == model.name]:
            try:
                view = await self.write(partial(store.open, name, version.embedding, model=model.name))
            except ValueError as error:
                raise InputError("name", str(error)) from None
            version.others[name] = view
        return True

    async def drop(self, name: str) -> bool:
        """Delete a gallery with all that is in it. Whether it was there.

        Raises:
            ConflictError: galleries can only be read here, or it is a model's own.
        """
        store = self._some_store()
        if name in [model.name for model in self._registry.models]:
            raise ConflictError(f"The gallery {name!r} is its model's own, and stays. Delete its items instead.")
        if name not in self.models():
            return False
        for model in self._registry.models:
            model.others.pop(name, None)
        return await self.write(partial(store.drop, name))

    async def write(self, work: Callable[[], T]) -> T:
        """Run what writes, or else blocks, in a thread. It goes on if the call is cancelled.

        Raises:
            QueueFullError: too many wait.
            Exception: what `work` raises.
        """
        if self._num_writes >= MAX_WRITES:
            raise QueueFullError(_RETRY_SECONDS)
        self._num_writes += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writers, work)
        finally:
            self._num_writes -= 1

    async def close(self) -> None:
        """Let writes end, and let go of the store."""
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self.close_store)

    def close_store(self) -> None:
        """Let go of the store alone; it blocks."""
        if self._store is not None:
            self._store.close()

    def _some_store(self) -> Store:
        if self._store is None:
            raise ConflictError(
                "Galleries can only be read here. Serve with INTERMODAL_GALLERIES=live, and with a data folder "
                "(INTERMODAL_DATA) that no other process has."
            )
        return self._store

    def _listed(self) -> str:
        return ", ".join(self.models()) or "none"
