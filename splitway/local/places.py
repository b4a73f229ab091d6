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
from splitway.names import EXTRACTOR, GATEWAY, HEADS

GATEWAY_PORT = 8080
PORTS = {EXTRACTOR: 8081, HEADS: 8091}
"""The port from which a stage's replicas' ports are taken."""
RUN_FILE = Path(".splitway/run.json")
PROC = Path("/proc")
_HTTPS_PORT = 443
_HOST = re.compile(r"[^\s/?#@]+")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTENS = "0A"
_STARTED = 19
"""Field of /proc/<pid>/stat, from 0, behind the command's name."""
_UIDS = re.compile(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """One process as the run file names it."""

    stage: str
    url: str
    pid: int
    started: int | None = None
    """When the process began, in the kernel's count; None where the system or an older run file does not say."""
    restarts: int = 0
    """How often it was started again."""

    @classmethod
    def of(cls, stage: str, url: str, pid: int, restarts: int = 0) -> Place:
        """The place of a process that runs, or has just ended."""
        return cls(stage, url, pid, started_at(pid), restarts)

    @property
    def is_alive(self) -> bool:
        """Whether that process runs and is still Splitway's: the system reuses process numbers."""
        if self.started is not None and can_be_told() and self.started != started_at(self.pid):
            return False
        try:
            os.kill(self.pid, 0)
            return is_splitway(self.pid)
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


def process_name(stage: str, number: int) -> str:
    """The name of a stage's process; they are counted from 1. There is one gateway alone."""
    return stage if stage == GATEWAY else f"{stage}.{number}"


def named_url(url: str | None) -> str | None:
    """Return the gateway's address as the user named it, or None; `localhost:8080` is `http://localhost:8080`.

    Without a scheme it is https on port 443, and http on port 8080 if it names no port. Raises SetupError if it is not
    an address.
    """
    if not url:
        return None
    whole = url if "://" in url else _with_scheme(url)
    if not _is_address(whole):
        raise SetupError(f"--url takes an address such as http://127.0.0.1:{GATEWAY_PORT}, not {url!r}")
    return whole.rstrip("/")


def _with_scheme(url: str) -> str:
    host, slash, path = url.partition("/")
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:  # which is told of the whole
        return f"http://{url}"
    if port is None:
        return f"http://{host}:{GATEWAY_PORT}{slash}{path}"
    return f"{'https' if port == _HTTPS_PORT else 'http'}://{url}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in ("http", "https") and bool(_HOST.fullmatch(host)) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


def can_be_told() -> bool:
    """Whether this system describes its processes in /proc."""
    return (PROC / "self" / "status").exists()


def is_splitway(pid: int) -> bool:
    """Whether a process was started as one of Splitway's. Raises OSError where the system does not tell."""
    return b"splitway" in (PROC / str(pid) / "cmdline").read_bytes()


def started_at(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine's start; None if there is none, or the system hides it."""
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[_STARTED])
    except (OSError, ValueError, IndexError):
        return None


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
