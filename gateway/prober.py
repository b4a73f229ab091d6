"""Asks every replica, again and again, whether it is ready and what it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.discovery import resolve
from gateway.http1 import Reply
from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState
from gateway.transport import Transport
from splitway.errors import BadStageAnswer, SplitwayError

_log = logging.getLogger(__name__)
_TIMEOUT_S = 1.0
_HEADERS = {"accept-encoding": "identity"}


@dataclass(frozen=True)
class ProbedStage:
    """A stage's name, the addresses it was given, and the replicas that they stand for."""

    name: str
    urls: tuple[str, ...]
    replicas: ReplicaSet


class Prober:
    """Keeps the replicas, and what is known of them, true."""

    def __init__(self, stages: Sequence[ProbedStage], transport: Transport, interval_s: float) -> None:
        self._stages = stages
        self._transport = transport
        self._interval_s = interval_s
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
        await asyncio.gather(*(self._look_at(stage) for stage in self._stages))

    async def _look_at(self, stage: ProbedStage) -> None:
        stage.replicas.update(await resolve(stage.urls))
        await asyncio.gather(*(self._probe(stage.name, replica) for replica in stage.replicas.replicas))

    async def _probe(self, stage: str, replica: Replica) -> None:
        try:
            ready = await self._get(stage, f"{replica.url}/v2/health/ready")
            if ready.status != 200:
                replica.is_not(ReplicaState.NOT_READY, f"is not ready: {_reason(ready)}")
                return
            metadata = await self._get(stage, f"{replica.url}/v2/models/{stage}")
            if metadata.status != 200:
                replica.is_not(ReplicaState.NOT_READY, f"does not serve {stage}: {_reason(metadata)}")
                return
            _learn(stage, replica, metadata)
        except SplitwayError as error:
            replica.is_not(ReplicaState.UNREACHABLE, error.detail)
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


def _learn(stage: str, replica: Replica, metadata: Reply) -> None:
    content = _object(metadata)
    try:
        version, output = content["versions"][-1], content["outputs"][0]
        shape, space = tuple(int(n) for n in output["shape"]), content["parameters"]["feature_space"]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadStageAnswer(f"{stage} at {replica.url} describes itself in a way that makes no sense") from error
    replica.version, replica.output_shape, replica.feature_space = str(version), shape, str(space)
    replica.is_ready()
