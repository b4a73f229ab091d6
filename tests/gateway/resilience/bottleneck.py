"""A simulated stage behind the gateway's door, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from splitway.errors import Overloaded
from splitway.gateway.resilience.admission import Admission
from splitway.gateway.resilience.limiter import AdaptiveLimit
from splitway.wire.deadline import Deadline
from tests.gateway.resilience.support import now

ATTEMPT_S = 2.0
"""What takes longer at the stage has failed."""


@dataclass
class Bottleneck:
    """So many lanes, each of which works on one request at a time, in the order in which they came.

    Args:
        lanes: how many.
        unit_s: how long a request works for each unit of its cost.
    """

    lanes: int = 2
    unit_s: float = 0.005
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How each caller's requests ended."""
    worked_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """How long lanes have worked for each caller's answered requests."""

    def __post_init__(self) -> None:
        self.limit = AdaptiveLimit(now)
        self.door = Admission(self.limit, now)
        self._lanes = asyncio.Semaphore(self.lanes)
        self.paused = asyncio.Event()
        self.paused.set()

    async def ask(self, caller: str, cost: float) -> bool:
        """One request, from the door to its answer; whether there was one."""
        try:
            await self.door.enter(Deadline.after(10.0, now), caller, cost)
        except Overloaded:
            self.ends[caller, "shed"] += 1
            return False
        try:
            came_s = now()
            async with self._lanes:
                await self.paused.wait()
                waited_s, worked_s = now() - came_s, cost * self.unit_s
                if waited_s + worked_s <= ATTEMPT_S:
                    await asyncio.sleep(worked_s)
            if waited_s + worked_s > ATTEMPT_S:
                self.limit.refused()
                self.ends[caller, "late"] += 1
                return False
            self.limit.observe(waited_s=waited_s, worked_s=worked_s, in_flight=self.door.in_flight)
            self.ends[caller, "ok"] += 1
            self.worked_s[caller] += worked_s
            return True
        finally:
            self.door.leave(caller, cost)

    async def again_and_again(self, caller: str, cost: float) -> None:
        """One client that asks as soon as it is answered, and a little later when it is not."""
        while True:
            if not await self.ask(caller, cost):
                await asyncio.sleep(0.1)

    async def at_a_rate(self, caller: str, cost: float, per_s: float) -> None:
        """A client that does not wait for its answers."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self.ask(caller, cost))
                await asyncio.sleep(1 / per_s)

    def forget(self) -> None:
        """Begin to count anew."""
        self.ends.clear()
        self.worked_s.clear()
