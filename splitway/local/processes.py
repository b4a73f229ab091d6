"""The listening processes of this machine and their users, from /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTENS = "0A"
_UIDS = re.compile(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$", re.MULTILINE)


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
