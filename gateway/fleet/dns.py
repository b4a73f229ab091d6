"""From a stage's addresses to its replicas: a name stands for every machine that it resolves to.

What is known of a name outlasts look-ups that fail, for as long as they do: a resolver in trouble takes no replica
away. Look-ups run in threads of their own, so that one that hangs holds up nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from splitway.security.networks import is_address

LookUp = Callable[[str, int], list[str]]
"""Returns the addresses of a host, whose port is given too. May take long, and may raise anything."""
LOOK_UP_LIMIT_S = 2.0
"""After so long a look-up counts as failed. Its answer is still taken, if it comes."""
_MISSING_ANSWERS = 3
"""An address is dropped after so many answers in a row that lack it: resolvers may give a part of them at a time."""
_GIVEN_UP_AFTER_S = 30.0
"""After so long another look-up is started beside one that hangs,"""
_MOST_THREADS = 4
"""but no more than so many for one name."""
_log = logging.getLogger(__name__)


def look_up(host: str, port: int) -> list[str]:
    """Return the IPv4 addresses of a host, or, where it has none, the IPv6 ones.

    Of a machine that has both, one is enough: it would count as two replicas. Raises OSError, and UnicodeError for a
    host that can be none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    old = [str(info[4][0]) for info in found if info[0] is socket.AF_INET]
    return old or [_with_zone(str(info[4][0]), *info[4][3:]) for info in found if info[0] is socket.AF_INET6]


def _with_zone(address: str, zone: int | str = 0) -> str:
    """An address that is valid on one link alone says which."""
    return f"{address}%{zone}" if zone and "%" not in address else address


class Name:
    """One of a stage's addresses, and the URLs that it stands for.

    Args:
        url: as it was set; an address, or `localhost`, stands for itself.
        look_up: asks the resolver; called in a thread.
    """

    def __init__(self, url: str, look_up: LookUp = look_up) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._scheme = parts.scheme
        self._look_up = look_up
        self._known: dict[str, int] = {}
        """The addresses, in order, and how many answers in a row have lacked each."""
        self._under_way: asyncio.Future[list[str] | Exception] | None = None
        self._began_s = 0.0
        self._threads = 0
        self.trouble = ""
        """Why the last look-up failed; empty if it did not."""

    @property
    def is_address(self) -> bool:
        """Whether it stands for itself."""
        return self.host == "localhost" or is_address(self.host)

    @property
    def is_unresolved(self) -> bool:
        """Whether it could not be looked up since the start, so that it stands for itself for want of a better."""
        return not self.is_address and not self._known

    @property
    def urls(self) -> list[str]:
        """One URL for each address that is known."""
        if self.is_address or not self._known:
            return [self.url]
        hosts = (f"[{address}]" if ":" in address else address for address in self._known)
        return [f"{self._scheme}://{host}:{self._port}" for host in hosts]

    async def look(self) -> None:
        """Resolve the name, for at most 2 seconds; a failure keeps the known addresses."""
        try:
            flight = self._flight()
        except RuntimeError as error:  # no thread can be started
            self._failed(error)
            return
        done, _ = await asyncio.wait({flight}, timeout=LOOK_UP_LIMIT_S)
        if not done:
            self._failed(TimeoutError(f"no answer within {LOOK_UP_LIMIT_S:.0f} s"))
            return
        self._under_way = None
        end = flight.result()
        if isinstance(end, Exception) or not end:
            self._failed(end if isinstance(end, Exception) else OSError("it has no address"))
        else:
            self._learn(end)

    def _flight(self) -> asyncio.Future[list[str] | Exception]:
        """The look-up that is under way, or a new one. Raises RuntimeError if no thread can be started."""
        loop = asyncio.get_running_loop()
        if self._under_way is not None:
            hangs = loop.time() - self._began_s >= _GIVEN_UP_AFTER_S and not self._under_way.done()
            if not hangs or self._threads >= _MOST_THREADS:
                return self._under_way
        flight: asyncio.Future[list[str] | Exception] = loop.create_future()

        def end(result: list[str] | Exception) -> None:
            self._threads -= 1
            flight.set_result(result)

        def run() -> None:
            try:
                result: list[str] | Exception = self._look_up(self.host, self._port)
            except Exception as error:
                result = error
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(end, result)

        threading.Thread(target=run, name=f"look up {self.host}", daemon=True).start()
        self._threads += 1
        self._under_way, self._began_s = flight, loop.time()
        return flight

    def _failed(self, error: Exception) -> None:
        if not self.trouble:
            what = f"{len(self._known)} known addresses are kept" if self._known else "no address is known"
            _log.warning("%s cannot be resolved (%s); %s", self.host, error, what)
        self.trouble = str(error) or type(error).__name__

    def _learn(self, found: Iterable[str]) -> None:
        """Take in an answer: new addresses at once, and those that it lacks out after the third like it."""
        if self.trouble:
            _log.warning("%s can be resolved again", self.host)
        self.trouble = ""
        lacking = {address: count + 1 for address, count in self._known.items() if count + 1 < _MISSING_ANSWERS}
        self._known = dict(sorted((lacking | dict.fromkeys(found, 0)).items()))
