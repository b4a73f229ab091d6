"""Where a local pipeline is: the ports it takes, its processes, the address that is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from splitway.errors import SetupError
from splitway.local.processes import PROC, can_be_told, listens_at, users_of
from splitway.names import EXTRACTOR, HEADS

GATEWAY_PORT = 8080
PORTS = {EXTRACTOR: 8081, HEADS: 8091}
"""The port from which a stage's replicas' ports are taken."""
RUN_FILE = Path(".splitway/run.json")


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
