"""What other processes took of this machine while something was measured, by /proc: of a busy machine no figure is its
service's."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from testkit.processes import family

_BUSY = 0.05
"""Of the machine's cores; less is what any machine does."""
_IDLE = (3, 4)
_STOLEN = 7
_COUNTED = 8
"""Fields of /proc/stat: of the times that a processor is idle, is taken by other machines on the same hardware, and of
all that count once."""


@dataclass(frozen=True)
class Ticks:
    """What the machine's processors have done so far, and what of it was our own doing."""

    at_s: float
    busy: int
    stolen: int
    own: int


def read_ticks(stat: str, own: int, at_s: float) -> Ticks:
    """Read /proc/stat; time that was stolen counts as busy."""
    times = [int(field) for field in stat.split("\n", 1)[0].split()[1 : 1 + _COUNTED]]
    busy = sum(ticks for place, ticks in enumerate(times) if place not in _IDLE)
    return Ticks(at_s, busy, times[_STOLEN], own)


def now() -> Ticks:
    """As it is now, with this process and all its descendants as our own."""
    own = sum(map(_with_children, family([os.getpid()])))
    return read_ticks(Path("/proc/stat").read_text(encoding="ascii"), own, time.monotonic())


def _with_children(pid: int) -> int:
    """Ticks of a process and of those of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15]))
    return 0


@dataclass
class Others:
    """What others took, lap by lap."""

    laps: list[Ticks] = field(default_factory=list)

    def lap(self, ticks: Ticks | None = None) -> None:
        """Note that something has begun or ended, now or then."""
        self.laps.append(ticks or now())

    def sentence(self, *, knows_service: bool = True) -> str:
        """Say whether the machine was busy with other things; `knows_service`: the service is ours, not one of them."""
        others, stolen = _shares(self.laps[0], self.laps[-1])
        most = max((_shares(*lap)[0] for lap in pairwise(self.laps)), default=0.0)
        who = "Other processes" if knows_service else "Other processes (the service too, where it runs here)"
        took = f"{who} took {others:.0%} of this machine's {_cores()} cores meanwhile"
        if most < _BUSY:
            return f"{took}: it was quiet."
        theft = f", {stolen:.0%} of them other machines on the same hardware" if stolen >= _BUSY / 2 else ""
        says = "The machine was busy" if knows_service else "If that was more than the service, the machine was busy"
        return f"{took}{theft}, and {most:.0%} in the busiest step. {says}: on a quiet one the service bears more."


def _shares(begin: Ticks, end: Ticks) -> tuple[float, float]:
    """Of all the processors' time between the two: what others took, and what of it was stolen."""
    whole = max(1.0, (end.at_s - begin.at_s) * os.sysconf("SC_CLK_TCK") * _cores())
    others = (end.busy - begin.busy) - (end.own - begin.own)
    return min(1.0, max(0.0, others / whole)), (end.stolen - begin.stolen) / whole


def _cores() -> int:
    return os.cpu_count() or 1
