"""All processes of a contestant: children, and daemons that have left their parents.

A daemon is known by a mark in its environment; one that has overwritten its environment (as those that rename
themselves do) is still a descendant of one that has not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 15.0
"""For a framework to stop as it wants to; what is left then is killed."""


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    state: str
    began: str
    """Tells the process from a later one with the same number."""


def _look(pid: int) -> _Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return _Process(pid, int(fields[1]), fields[0], fields[19])


def _all() -> list[_Process]:
    looked = (_look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in looked if process is not None and process.state != "Z"]


def _marked(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _family(roots: Iterable[int], mark: str | None) -> set[_Process]:
    everyone = _all()
    known = set(roots)
    found = {each for each in everyone if each.pid in known or (mark is not None and _marked(each.pid, mark))}
    while True:
        pids = {each.pid for each in found}
        more = {each for each in everyone if each.parent in pids} - found
        if not more:
            return found
        found |= more


def family(roots: Iterable[int], mark: str | None = None) -> set[int]:
    """The roots that live, all processes with `mark` in their environment, and all their descendants."""
    return {process.pid for process in _family(roots, mark)}


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those of them that still are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def processor_s(pids: Iterable[int]) -> float:
    """Processor time that the processes have used, their own and the kernel's for them, in seconds."""
    return sum(_processor_ticks(pid) for pid in pids) / os.sysconf("SC_CLK_TCK")


def _processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_mb(pids: Iterable[int]) -> float:
    """What the processes have in memory, in MB; pages that two share count twice."""
    return sum(_kib(pid, "status", "VmRSS:") for pid in pids) * 1024 / 1e6


def proportional_mb(pids: Iterable[int]) -> float:
    """The same, but pages that several share are divided among them."""
    return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in pids) * 1024 / 1e6


def _kib(pid: int, file: str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def stop(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask the process to stop, wait for its whole family to go, and kill what does not."""
    members = _family([process.pid], mark)
    process.terminate()
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s and (process.poll() is None or _alive(members)):
        time.sleep(0.1)
    for member in _alive(members | _family([], mark)):
        os.kill(member.pid, signal.SIGKILL)
    process.wait()


def _alive(members: Iterable[_Process]) -> list[_Process]:
    looked = ((member, _look(member.pid)) for member in members)
    return [member for member, now in looked if now is not None and now.state != "Z" and now.began == member.began]
