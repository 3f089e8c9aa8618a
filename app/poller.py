"""Looks for versions that are newer than what is served, every few seconds, and has them loaded.

A version that is refused is told of once, and tried again when its files have changed."""

import asyncio
import logging
from collections.abc import Collection, Hashable, Sequence

from app.checkpoints import Source
from app.lifecycle import Lifecycle
from app.refusals import ConflictError, NotFoundError
from app.registry import Registry

_LOG = logging.getLogger(__name__)


class Poller:
    """Follows models whose version nobody has fixed."""

    def __init__(
        self, registry: Registry, lifecycle: Lifecycle, source: Source, followed: Collection[str] | None
    ) -> None:
        """Prepare; nothing is looked for yet.

        Args:
            registry: what is served.
            lifecycle: what loads.
            source: where versions are found.
            followed: names of models whose newest version is wanted; None for every model, new ones too.
        """
        self._registry = registry
        self._lifecycle = lifecycle
        self._source = source
        self._followed = followed
        self._refused: dict[tuple[str, int], Hashable] = {}

    async def run(self, seconds: float) -> None:
        """Look again and again, `seconds` apart, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # the folder may be gone for a while; the next look tells
                _LOG.exception("looking for newer versions failed")

    async def poll(self) -> None:
        """Look once. Newer is what exceeds every version ever served, so that going back to an older one lasts."""
        found = await asyncio.to_thread(self._source.versions)
        for name, versions in found.items():
            try:
                await self._look(name, versions)
            except Exception:  # a file may go while it is looked at; the other models are looked at all the same
                _LOG.exception("looking for newer versions of model %s failed", name)

    async def _look(self, name: str, versions: Sequence[int]) -> None:
        newest = self._registry.newest(name)
        if self._follows(name, newest):
            for version in sorted(versions, reverse=True):
                if version <= (newest or 0) or await self._load(name, version):
                    break

    def _follows(self, name: str, newest: int | None) -> bool:
        if newest is None:
            return self._followed is None
        unloaded = not self._registry.versions(name)
        return not unloaded and (self._followed is None or name in self._followed)

    async def _load(self, name: str, version: int) -> bool:
        """Whether the version is served now."""
        state = await asyncio.to_thread(self._source.state, name, version)
        if self._refused.get((name, version)) == state:
            return False
        try:
            await self._lifecycle.load(name, version)
        except (ConflictError, NotFoundError):
            self._refused[name, version] = state
            return False
        self._refused.pop((name, version), None)
        return True
