"""Names to addresses, off the event loop. The system's own lookup knows neither deadline nor cancelling."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from app.addresses import Address
from app.own_threads import OwnThreads

LookUp = Callable[[str], Sequence[Address]]


def look_up(host: str) -> Sequence[Address]:
    """All addresses of a host, in the system's order of preference; this blocks.

    Raises:
        OSError: the name is not known, or nobody answers.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(place[0]) for *_, place in found))


class Resolver:
    """Looks names up, a few at a time, each in its own thread: a name server may not answer for half a minute."""

    def __init__(self, max_lookups: int, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._free = asyncio.Semaphore(max_lookups)
        self._threads = OwnThreads()

    async def addresses(self, host: str) -> Sequence[Address]:
        """All addresses of a host. A lookup whose caller is gone keeps its place until it ends.

        Raises:
            OSError: as `look_up` does.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()

        def work() -> Sequence[Address]:
            try:
                return self._look_up(host)
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                    loop.call_soon_threadsafe(self._free.release)

        return await self._threads.run(work, "look-up")
