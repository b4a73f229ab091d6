"""Asks every replica, again and again, whether it is ready and what it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.discovery import resolve
from gateway.http1 import Reply
from gateway.inventory import read_inventory
from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState
from gateway.transport import Transport
from splitway.errors import SplitwayError

_log = logging.getLogger(__name__)
_TIMEOUT_S = 1.0
_HEADERS = {"accept-encoding": "identity"}


@dataclass(frozen=True)
class ProbedStage:
    """A stage's name and role, the addresses it was given, and the replicas that they stand for."""

    name: str
    role: str
    """Of what it is asked for here: its own model, or, of heads, any."""
    urls: tuple[str, ...]
    replicas: ReplicaSet


class Prober:
    """Keeps the replicas, and what is known of them, true.

    Args:
        stages: whom to ask.
        transport: carries the questions.
        interval_s: seconds between two rounds.
        each_round: called in each round, before the replicas are asked.
    """

    def __init__(
        self,
        stages: Sequence[ProbedStage],
        transport: Transport,
        interval_s: float,
        each_round: Callable[[], Awaitable[None]],
    ) -> None:
        self._stages = stages
        self._transport = transport
        self._interval_s = interval_s
        self._each_round = each_round
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, then go on asking in the background."""
        await self.look_around()
        self._task = asyncio.create_task(self._run(), name="prober")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look_around()

    async def look_around(self) -> None:
        """Resolve every address again and ask every replica."""
        try:
            await self._each_round()
        except Exception:  # what else is done in a round must not end the probing
            _log.exception("a round of the prober")
        await asyncio.gather(*(self._look_at(stage) for stage in self._stages))

    async def _look_at(self, stage: ProbedStage) -> None:
        stage.replicas.update(await resolve(stage.urls))
        await asyncio.gather(*(self._probe(stage, replica) for replica in stage.replicas.replicas))

    async def _probe(self, stage: ProbedStage, replica: Replica) -> None:
        try:
            _learn(stage, replica, await self._get(stage.name, f"{replica.url}/v1/stage"))
        except SplitwayError as error:
            replica.is_not(ReplicaState.UNREACHABLE, error.in_full)
        except Exception:  # one replica's oddity must not end the probing of all
            _log.exception("probing %s", replica.url)
            replica.is_not(ReplicaState.UNREACHABLE, "could not be probed; the gateway's log says more")

    async def _get(self, stage: str, url: str) -> Reply:
        return await self._transport.call(stage, "GET", url, timeout_s=_TIMEOUT_S, headers=_HEADERS)


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _reason(reply: Reply) -> str:
    return str(_object(reply).get("error", f"status {reply.status}"))[:200]


def _learn(stage: ProbedStage, replica: Replica, reply: Reply) -> None:
    """Take in what a replica says of itself; what makes no sense is a replica that is not ready."""
    try:
        inventory = read_inventory(reply.body)
    except ValueError as error:
        nonsense = f"describes itself in a way that makes no sense: {error}"
        replica.is_not(ReplicaState.NOT_READY, nonsense if reply.status == 200 else f"is not ready: {_reason(reply)}")
        return
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
