"""Runs one scenario: steady load, trouble in the middle of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from testkit.chaos.arena import Replicas
from testkit.chaos.history import History, Pictures
from testkit.chaos.load import Ask, steady_load
from testkit.chaos.scenarios import Scenario


@dataclass(frozen=True)
class Outcome:
    """The history of a run, and the calls that reached each stage during the trouble and what was left of the run."""

    history: History
    inferences: dict[str, int]
    scenario: Scenario

    @property
    def troubled(self) -> History:
        """What was sent while there was trouble."""
        return self.history.between(self.scenario.begins_s, self.scenario.begins_s + self.scenario.lasts_s)

    def load(self, stage: str) -> float:
        """Calls that reached a stage, as a multiple of the requests, over the whole run."""
        return self.inferences[stage] / len(self.history.entries)


def run_scenario(scenario: Scenario, replicas: Replicas, ask: Ask, pictures: Pictures) -> Outcome:
    """Send the load, make the trouble, end it; bounded by the scenario's own time."""
    before = replicas.inferences()

    async def both() -> History:
        load = asyncio.create_task(steady_load(ask, pictures, rate=scenario.rate, seconds=scenario.seconds))
        await asyncio.sleep(scenario.begins_s)
        trouble = scenario.trouble(replicas)
        await asyncio.to_thread(trouble.__enter__)
        try:
            await asyncio.wait({load}, timeout=scenario.lasts_s)
        finally:
            await asyncio.to_thread(trouble.__exit__, None, None, None)
        return await load

    history = asyncio.run(both())
    reached = {stage: count - before[stage] for stage, count in replicas.inferences().items()}
    return Outcome(history, reached, scenario)
