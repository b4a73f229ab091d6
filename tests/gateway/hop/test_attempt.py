"""What one attempt's end says of its replica, when the gateway itself stood still meanwhile."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from splitway.errors import DeadlineExceeded
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.hop.attempt import AttemptMaker
from splitway.gateway.hop.turn import Attempt, Turn
from splitway.gateway.hop.verdict import Blame, Verdict
from splitway.gateway.resilience.breaker import BreakerState
from splitway.wire.context import CallContext
from splitway.wire.deadline import Deadline
from splitway.wire.messages import InferRequest

MODEL = ServedModel("classifier", "1", "head", True, "ready", "fs:a", None, (), ())
TIMEOUT_S = 0.05


class _Silent:
    """A transport on which nothing is heard within an attempt's time; the loop stands still beyond it, or does not."""

    def __init__(self, stands_still_s: float) -> None:
        self._stands_still_s = stands_still_s

    async def call(self, *_: object, **__: object) -> Any:
        time.sleep(TIMEOUT_S + self._stands_still_s)  # noqa: ASYNC251 - the loop is to be held
        raise DeadlineExceeded("no answer in time")


@pytest.mark.parametrize(
    ("stands_still_s", "blame"), [(0.0, Blame.FAILED), (0.4, Blame.NONE)], ids=["in time", "stood still"]
)
async def test_time_in_which_the_gateway_stood_still_is_not_the_replicas(stands_still_s: float, blame: Blame) -> None:
    replicas = ReplicaSet(StageConfig("classifier", "head", ("http://127.0.0.1:1",)), time.monotonic, random.random)
    (replica,) = replicas.replicas
    replica.is_ready()
    transport: Any = _Silent(stands_still_s)
    attempt = AttemptMaker(replicas, transport, TIMEOUT_S, lambda _: None)
    for number in range(12):
        permit = replica.breaker.acquire()
        if permit is None:
            break
        turn = Turn("classifier", dict, InferRequest(()), CallContext(Deadline.after(10), {}))
        end = await attempt(turn, Attempt(replica, permit, MODEL, number))
        assert isinstance(end, Verdict)
        assert end.blame is blame
        if blame is Blame.NONE and number == 2:
            break
    assert replica.latency_s == TIMEOUT_S, "no attempt takes longer than it may"
    assert (replica.breaker.state is BreakerState.OPEN) == (blame is Blame.FAILED)
