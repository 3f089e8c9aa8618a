"""Versions come and go while requests are answered: read, tried, served, retired; and read anew where they break.

Nothing is served before it has answered an inference of its own, in a thread of its own: what is broken, or hangs,
takes no worker from the requests. Knows nothing of HTTP."""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from time import perf_counter

from app.checkpoints import Source
from app.memory import give_back, trim
from app.own_threads import OwnThreads
from app.refusals import ConflictError, NotFoundError
from app.registry import Registry
from app.served import Model
from models.errors import IntermodalError
from retrieval.errors import RetrievalError

_RECOVERY_PAUSE_SECONDS = 30.0  # between attempts, and twice as long after each that failed
_JOIN_SECONDS = 5.0  # for a version that is being read when the service stops
_LOG = logging.getLogger(__name__)


class Lifecycle:
    """Loads into a registry and unloads from it. One load at a time: two would take memory and cores twice."""

    def __init__(
        self, registry: Registry, source: Source, *, root: Path, load_seconds: float, answer_seconds: float
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            registry: what is served.
            source: where versions are read.
            root: the folder of `source`, which no caller is told.
            load_seconds: limit on reading and trying a version.
            answer_seconds: limit on an answer, beyond which a model counts as stuck.
        """
        self._registry = registry
        self._source = source
        self._root = root
        self._load_seconds = load_seconds
        self._answer_seconds = answer_seconds
        self._lock = asyncio.Lock()
        self._threads = OwnThreads()
        self._tasks: set[asyncio.Task[object]] = set()
        self._recovery: asyncio.Task[None] | None = None
        self._no_recovery_before = 0.0
        self._recovery_pause_seconds = _RECOVERY_PAUSE_SECONDS
        self.before_serving: Callable[[Model], Awaitable[None]] = _nothing
        """Awaited for a model that was read and tried, before it is served: what else it needs."""
        self.on_load: Callable[[str, str], object] = lambda _name, _outcome: None
        """Takes the name of a model and what became of a version of it: `loaded` or `refused`."""

    async def load(
        self, name: str, version: int | None = None, *, current: bool = True, keep: bool = False
    ) -> Model:
        """Serve a version; it is read unless it is loaded already. Arguments as of `Registry.put`.

        Args:
            name: a model of which there are versions.
            version: which; the newest on the disk where None.
            current: whether it is to answer where no version is named.
            keep: whether it stays when another version becomes current.

        Raises:
            NotFoundError: no such model or version.
            ConflictError: it cannot be read, or does not answer; what was served still is.
        """
        version = await self._find(name, version)
        async with self._lock:
            if version in self._registry.versions(name):
                model = self._registry.get(name, str(version))
            else:
                model = await self._read(name, version)
            # One that was loaded before may lack what was written while another one was current.
            await self._make_ready(model)
            self._retire(self._registry.put(model, current=current, keep=keep))
        return model

    def unload(self, name: str, version: int | None = None) -> None:
        """See `Registry.remove`."""
        self._retire(self._registry.remove(name, version))
        if self._registry.versions(name):
            self._start(self._catch_up(self._registry.get(name)))

    def recover_soon(self) -> None:
        """Read anew, in the background, every model that does not answer: with sessions and memory of its own."""
        idle = self._recovery is None or self._recovery.done()
        if idle and perf_counter() >= self._no_recovery_before:
            self._recovery = self._start(self._recover())

    async def close(self) -> None:
        """Let what is under way go: a version that is being read or tried is not served any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._threads.close(_JOIN_SECONDS)

    async def _find(self, name: str, version: int | None) -> int:
        """The version that is meant, of those on the disk or loaded: no path is made of what a caller sent."""
        found = await asyncio.to_thread(self._source.versions)
        on_disk = found.get(name, ())
        known = sorted({*on_disk, *self._registry.versions(name)})
        if version is None and on_disk:
            return max(on_disk)
        if version is not None and version in known:
            return version
        if known:
            there = f"Of {name!r} there are: {', '.join(map(str, known))}."
        else:
            there = f"There are: {', '.join(found) or 'none'}."
        wanted = f"{name[:60]!r}" if version is None else f"{name[:60]!r} of version {version}"
        raise NotFoundError(f"No model {wanted} is in the folder of checkpoints. {there}")

    async def _read(self, name: str, version: int) -> Model:
        """A version that has answered once.

        Raises:
            ConflictError: saying what is wrong with it.
        """

        def read_and_try() -> Model:
            model = self._source.load(name, version)
            model.warm_up()
            trim()
            return model

        start = perf_counter()
        try:
            async with asyncio.timeout(self._load_seconds):
                model = await self._threads.run(read_and_try, f"load-{name}-{version}")
        except Exception as error:  # whatever is wrong with it, the rest goes on
            self.on_load(name, "refused")
            known = isinstance(error, IntermodalError | RetrievalError | TimeoutError)
            _LOG.warning(
                "version %d of model %s is refused: %s", version, name, error, exc_info=None if known else error
            )
            self._start(give_back(()))  # what was read of it
            raise ConflictError(
                f"Version {version} of {name!r} cannot be served: {self._explain(error)} What was served still is."
            ) from None
        self.on_load(name, "loaded")
        _LOG.info("version %d of model %s is loaded, in %.2f s", version, name, perf_counter() - start)
        return model

    async def _make_ready(self, model: Model) -> None:
        try:
            await self.before_serving(model)
        except (RetrievalError, IntermodalError) as error:
            self.on_load(model.name, "refused")
            _LOG.warning("version %d of model %s is refused: %s", model.version, model.name, error)
            raise ConflictError(
                f"Version {model.version} of {model.name!r} cannot be served: {self._explain(error)} "
                "What was served still is."
            ) from None

    async def _catch_up(self, model: Model) -> None:
        """Give the one that took a place what was written while another one was current."""
        try:
            await self.before_serving(model)
        except (RetrievalError, IntermodalError) as error:
            _LOG.warning("version %d of model %s lacks what was written: %s", model.version, model.name, error)

    def _explain(self, error: Exception) -> str:
        """What is wrong with a version, for a caller: without this machine's paths, or what nobody foresaw."""
        if isinstance(error, TimeoutError):
            return (
                f"reading and trying it took more than {self._load_seconds:g} s (INTERMODAL_LOAD_TIMEOUT_SECONDS)."
            )
        if isinstance(error, IntermodalError | RetrievalError):
            return str(error).replace(f"{self._root}/", "")
        return f"it failed with {type(error).__name__}; the log has more."

    async def _recover(self) -> None:
        for model in self._registry.models:
            if await self._answers(model):
                continue
            self._no_recovery_before = perf_counter() + self._recovery_pause_seconds
            _LOG.error("version %d of model %s does not answer; it is read anew", model.version, model.name)
            try:
                async with self._lock:
                    fresh = await self._read(model.name, model.version)
                    self._retire(self._registry.replace(model, fresh))
            except ConflictError:  # logged, and counted
                self._recovery_pause_seconds *= 2
            else:
                self._recovery_pause_seconds = _RECOVERY_PAUSE_SECONDS

    async def _answers(self, model: Model) -> bool:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._threads.run(model.warm_up, f"try-{model.name}-{model.version}")
        except Exception:  # any reason is reason enough
            return False
        return True

    def _retire(self, models: Iterable[Model]) -> None:
        """Let go of models; those who still use them are the last to hold them."""
        gone = []
        for model in models:
            _LOG.info("version %d of model %s is retired", model.version, model.name)
            gone.append(weakref.ref(model))
        if gone:
            self._start(give_back(gone))

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _nothing(_model: Model) -> None:
    pass
