"""Asks every replica, again and again, whether it is ready and what it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import orjson

from splitway.errors import DeadlineExceeded, Overloaded, SplitwayError
from splitway.gateway.fleet.dns import Name
from splitway.gateway.fleet.inventory import read_inventory
from splitway.gateway.fleet.replica import Replica, ReplicaState
from splitway.gateway.fleet.replicas import ReplicaSet
from splitway.gateway.transport.http1 import Reply
from splitway.gateway.transport.transport import Transport

_log = logging.getLogger(__name__)
_TIMEOUT_S = 1.0
_START_S = 2.0
"""The longest that the start waits for what is to be found out first."""
_SOONER = 0.25
"""Of the interval, after which a replica is asked again that did not answer but was ready before."""
_OWN_SHARE = 0.25
"""Of a question's time: was the gateway's own loop late for longer, then the silence is not the replica's."""
_HEADERS = {"accept-encoding": "identity"}
_TICK_S = 0.05
_ON_TIME_S = 0.01
"""A timer that fires no later than this was on time."""


class Prober:
    """Keeps the replicas, and what is known of them, true.

    Each name is looked up and each replica asked by itself: none waits for another.

    Args:
        stages: the stages to ask.
        transport: carries the questions.
        interval_s: seconds between two rounds.
        each_round: waited for at the start; later begun in each round, unless it is still under way.
        on_look_up_failed: told of each look-up that failed, by the stage's name.
    """

    def __init__(
        self,
        stages: Sequence[ReplicaSet],
        transport: Transport,
        interval_s: float,
        each_round: Callable[[], Awaitable[None]],
        on_look_up_failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stages = stages
        self._names = {stage.name: [Name(each.url) for each in stage.replicas] for stage in stages}
        self._transport = transport
        self._interval_s = interval_s
        self._each_round = each_round
        self._on_look_up_failed = on_look_up_failed
        self._lateness = LoopLateness()
        self._under_way: dict[tuple[str, ...], asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Ask once, then go on asking in the background. Slow answers are not waited for."""
        self._lateness.start()
        await self._do_the_rest()
        self._begin_round()
        await asyncio.wait(self._under_way.values(), timeout=_START_S)
        self._begin(("rounds",), self._run)

    async def close(self) -> None:
        self._lateness.stop()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._begin_round()

    def _begin_round(self) -> None:
        """Begin to look up every name and to ask every replica, but for those where that is still under way."""
        self._begin(("each round",), self._do_the_rest)
        for stage in self._stages:
            for name in self._names[stage.name]:
                if not name.is_address:
                    self._begin((stage.name, name.url, "look-up"), partial(self._look_up, stage, name))
            self._begin_probes(stage)

    async def _do_the_rest(self) -> None:
        try:
            await self._each_round()
        except Exception:  # whatever it was, the next round may go better
            _log.exception("a round of the prober")

    def _begin_probes(self, stage: ReplicaSet) -> list[asyncio.Task[None]]:
        """Begin to ask each replica whose address is known: what is connected to a name would be looked up once more,
        in threads that are meant for other work."""
        names = {name.url for name in self._names[stage.name] if name.is_unresolved}
        asked = [replica for replica in stage.replicas if replica.url not in names]
        return [self._begin((stage.name, each.url), partial(self._probe, stage, each)) for each in asked]

    def _begin(self, key: tuple[str, ...], work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Do some work in the background; the task that does it already, if there is one."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work(), name=" ".join(("probe", *key)))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def _look_up(self, stage: ReplicaSet, name: Name) -> None:
        await name.look()
        if name.trouble:
            self._on_look_up_failed(stage.name)
        known = {replica.url for replica in stage.replicas}
        urls = dict.fromkeys(url for each in self._names[stage.name] for url in each.urls)
        if urls.keys() != known:
            stage.update(urls)
            await asyncio.gather(*self._begin_probes(stage))
        if name.is_unresolved:
            for replica in stage.replicas:
                if replica.url == name.url:
                    replica.is_not(ReplicaState.UNREACHABLE, f"{name.host} cannot be resolved: {name.trouble}")

    async def _probe(self, stage: ReplicaSet, replica: Replica) -> None:
        """Ask a replica; one that does not answer is asked again soon, until it is clear whether it can be reached."""
        while True:
            try:
                await self._ask(stage, replica)
            except Exception:  # one replica's oddity must not end the probing of all
                _log.exception("probing %s", replica.url)
                replica.missed("could not be probed; the gateway's log says more")
            if not replica.is_in_doubt or replica not in stage.replicas:
                return
            await asyncio.sleep(self._interval_s * _SOONER)

    async def _ask(self, stage: ReplicaSet, replica: Replica) -> None:
        late_s = self._lateness.total_s
        try:
            url = f"{replica.url}/v1/stage"
            reply = await self._transport.call(stage.name, "GET", url, timeout_s=_TIMEOUT_S, headers=_HEADERS)
            _learn(stage, replica, reply)
        except DeadlineExceeded as error:
            late_s = self._lateness.total_s - late_s
            replica.missed(error.in_full, excused=late_s >= _OWN_SHARE * _TIMEOUT_S)
        except Overloaded as error:  # this process has no means to ask
            _log.warning("%s", error.in_full)
        except SplitwayError as error:
            replica.missed(error.in_full)


def _reason(reply: Reply) -> str:
    try:
        said = orjson.loads(reply.body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = f"status {reply.status}"
    return str(said)[:200]


def _learn(stage: ReplicaSet, replica: Replica, reply: Reply) -> None:
    """Store a replica's description; an invalid one means that the replica is not ready."""
    try:
        inventory = read_inventory(reply.body)
    except ValueError as error:
        nonsense = f"sends an invalid description: {error}"
        replica.is_not(ReplicaState.NOT_READY, nonsense if reply.status == 200 else f"is not ready: {_reason(reply)}")
        return
    replica.runs_since(inventory.started_at)
    own = {
        offer: model
        for offer, model in inventory.models.items()
        if model.role == stage.role and (stage.role == "head" or model.name == stage.name)
    }
    if inventory.not_ready_because is not None:
        replica.is_not(ReplicaState.NOT_READY, f"is not ready: {inventory.not_ready_because[:300]}")
    elif not own:
        replica.is_not(ReplicaState.NOT_READY, f"serves no {stage.role} {stage.name!r}")
    else:
        replica.serves(own)
        replica.is_ready()


class LoopLateness:
    """How long the event loop has kept timers and replies waiting: its own delay is not to be taken for another's.

    Adds up by how much a timer that should fire twenty times a second fires late.
    """

    def __init__(self) -> None:
        self._late_s = 0.0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop, or go on."""
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + _TICK_S
        self._timer = loop.call_at(self._due_s, self._fired)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def total_s(self) -> float:
        """Seconds by which the loop has been late since the start, a delay that still goes on included."""
        if self._timer is None:
            return self._late_s
        late_s = asyncio.get_running_loop().time() - self._due_s
        return self._late_s + (late_s if late_s > _ON_TIME_S else 0.0)

    def _fired(self) -> None:
        self._late_s = self.total_s
        self.start()
