"""A gateway that cannot connect because it has run out itself blames no replica."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from typing import Any

import pytest

from gateway.prober import ProbedStage, Prober
from gateway.resilience.replica import ReplicaState
from gateway.resilience.replicas import ReplicaSet
from gateway.transport import Transport
from gateway.verdict import Blame, judge_error
from splitway.errors import Overloaded, SplitwayError, Unreachable

URL = "http://127.0.0.1:9001"
OURS = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]


async def _fails_to_connect(monkeypatch: pytest.MonkeyPatch, number: int) -> Transport:
    async def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    return Transport(1000)


async def _call(transport: Transport) -> SplitwayError:
    with pytest.raises(SplitwayError) as caught:
        await transport.call("classifier", "GET", f"{URL}/v1/stage", timeout_s=5, headers={})
    return caught.value


@pytest.mark.parametrize("number", OURS)
async def test_what_this_process_lacks_is_told_as_its_own_and_blames_no_replica(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    error = await _call(await _fails_to_connect(monkeypatch, number))
    assert type(error) is Overloaded
    assert error.retry_after_s
    assert os.strerror(number) in error.private
    verdict = judge_error(error, time_is_up=False, was_given_time=True)
    assert (verdict.blame, verdict.may_retry) == (Blame.NONE, False)


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH])
async def test_who_cannot_be_reached_is_told_as_before(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    error = await _call(await _fails_to_connect(monkeypatch, number))
    assert type(error) is Unreachable
    assert judge_error(error, time_is_up=False, was_given_time=True).blame is Blame.CONNECTION


async def test_probes_that_lack_a_descriptor_make_no_replica_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = ReplicaSet([URL], asyncio.get_running_loop().time, random.random)
    replica = replicas.replicas[0]
    replica.is_ready()
    rounds = 0

    async def each_round() -> None:
        nonlocal rounds
        rounds += 1

    transport = await _fails_to_connect(monkeypatch, errno.EMFILE)
    prober = Prober([ProbedStage("classifier", "head", (URL,), replicas)], transport, 0.01, each_round)
    await prober.start()
    async with asyncio.timeout(10):
        while rounds < 12:  # noqa: ASYNC110 - the prober's own rounds
            await asyncio.sleep(0.001)
    await prober.close()
    assert (replica.state, replica.misses) == (ReplicaState.READY, 0)
