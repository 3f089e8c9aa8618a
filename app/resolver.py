"""Names to addresses, off the event loop. The system's own lookup knows neither deadline nor cancelling."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from app.addresses import Address

LookUp = Callable[[str], Sequence[Address]]


def look_up(host: str) -> Sequence[Address]:
    """All addresses of a host, in the system's order of preference; this blocks.

    Raises:
        OSError: the name is not known, or nobody answers.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(place[0]) for *_, place in found))


class Resolver:
    """Looks names up in threads of its own.

    Not in the event loop's: a name server that does not answer would keep those from everybody else. And daemons:
    such a lookup takes half a minute, and must not keep the process from ending.
    """

    def __init__(self, max_lookups: int, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._free = asyncio.Semaphore(max_lookups)

    async def addresses(self, host: str) -> Sequence[Address]:
        """All addresses of a host. A lookup whose caller is gone keeps its place until it ends.

        Raises:
            OSError: as `look_up` does.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[Address]] = loop.create_future()

        def settle(addresses: Sequence[Address], error: Exception | None) -> None:
            self._free.release()
            if found.cancelled():
                return
            if error is not None:
                found.set_exception(error)
            else:
                found.set_result(addresses)

        def work() -> None:
            addresses, error = _try(self._look_up, host)
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(settle, addresses, error)

        threading.Thread(target=work, name="look-up", daemon=True).start()
        return await found


def _try(look_up: LookUp, host: str) -> tuple[Sequence[Address], Exception | None]:
    try:
        return look_up(host), None
    except Exception as error:  # whoever asked gets it
        return (), error
