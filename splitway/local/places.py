"""Where a local pipeline is: its ports, the address that is asked, and its processes, which /proc tells of."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from splitway.errors import SetupError
from splitway.names import EXTRACTOR, HEADS

GATEWAY_PORT = 8080
PORTS = {EXTRACTOR: 8081, HEADS: 8091}
"""The port from which a stage's replicas' ports are taken."""
RUN_FILE = Path(".splitway/run.json")
PROC = Path("/proc")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTENS = "0A"
_UIDS = re.compile(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """One process as the run file names it."""

    stage: str
    url: str
    pid: int

    @property
    def is_alive(self) -> bool:
        """Whether that process runs and is still Splitway's: the system reuses process numbers."""
        try:
            os.kill(self.pid, 0)
            return b"splitway" in (PROC / str(self.pid) / "cmdline").read_bytes()
        except ProcessLookupError:
            return False
        except OSError:  # it is another user's, or this system has no /proc: there is something of that number
            return True

    @property
    def doubt(self) -> str | None:
        """Why that process is not the one that `splitway up` started; None if it is, or if this system cannot tell."""
        if not self.is_alive:
            return f"process {self.pid}, which it names, is not a running Splitway process"
        if not can_be_told():
            return None
        if users_of(self.pid) - {os.geteuid(), 0}:
            return f"process {self.pid}, which it names, is another user's"
        return None if listens_at(self.pid, self.url) else f"process {self.pid} does not listen at {self.url}"


def named_url(url: str | None) -> str | None:
    """The gateway's address as the user named it, or None. Raises SetupError if it is not an address."""
    if url and not _is_address(url):
        raise SetupError(f"--url takes an address such as http://127.0.0.1:{GATEWAY_PORT}, not {url!r}")
    return url.rstrip("/") if url else None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


def can_be_told() -> bool:
    """Whether this system describes its processes in /proc."""
    return (PROC / "self" / "status").exists()


def users_of(pid: int) -> set[int]:
    """The users that a process acts for; none of one that has ended."""
    try:
        found = _UIDS.search((PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return set()
    return set() if found is None else set(map(int, found.groups()))


def listens_at(pid: int, url: str) -> bool:
    """Whether a process has the socket that takes connections to this address; not of a name, only of numbers."""
    try:
        parts = urlsplit(url)
        wanted = ipaddress.ip_address(parts.hostname or "")
        port = parts.port or 0
    except ValueError:
        return False
    here = {f"socket:[{inode}]" for address, inode in listeners(port) if _takes(_address(address), wanted)}
    return not here.isdisjoint(descriptors(PROC / str(pid)))


def _takes(listening: _Address, wanted: _Address) -> bool:
    mapped = getattr(listening, "ipv4_mapped", None) or listening
    everywhere = mapped.is_unspecified and (wanted.is_loopback or wanted.is_unspecified)
    return mapped == wanted or everywhere


def _address(written: str) -> _Address:
    """As /proc writes it: each word of four bytes as a number of this machine."""
    words = [int(written[start : start + 8], 16) for start in range(0, len(written), 8)]
    return ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))


def descriptors(process: Path) -> Iterable[str]:
    """The open files of a process; empty for another user's process or one that has ended."""
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                yield str(descriptor.readlink())


def listeners(number: int) -> Iterator[tuple[str, str]]:
    """Address and inode of each socket that listens on this port."""
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (PROC / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, port_ = fields[1].partition(":")
            if fields[3] == _LISTENS and port_ == f"{number:04X}":
                yield address, fields[9]
