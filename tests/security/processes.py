"""What can be seen of a running service from outside."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from splitway.local.processes import Process


def address(process: Process) -> tuple[str, int]:
    url = httpx.URL(process.url)
    assert url.port is not None
    return url.host, url.port


def resident_bytes(process: Process) -> int:
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.popen.pid}/fd").iterdir()))
