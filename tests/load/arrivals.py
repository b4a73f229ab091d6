"""The two ways in which load arrives: users who wait for their answers, and a clock that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import aiohttp
import uvloop

from splitway.errors import SetupError
from splitway.wire.v2_json import HEADER_LENGTH
from testkit.chaos.history import quantile
from testkit.chaos.load import Ask, Reply, steady_load
from tests.load.inputs import Question
from tests.load.step import Step

ROOT = Path(__file__).parents[2]
_WRONG_ANSWER = -1


def closed_steps(service: str, host: str, users: Sequence[int], seconds: float, seen: Callable[[Step], None]) -> None:
    """Let Locust hold each number of users, and show each step as it ends.

    Raises:
        SetupError: Locust ended before its last step.
    """
    command = [sys.executable, "-m", "tests.load.locust_steps", service, "--host", host, "--seconds", str(seconds)]
    command += ["--users", *map(str, users)]
    with tempfile.TemporaryFile("w+") as errors, contextlib.ExitStack() as stack:
        locust = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the driver alone, which then stops this
        )
        stack.callback(_end, locust)
        assert locust.stdout is not None
        for line in locust.stdout:
            step = json.loads(line)
            seen(Step.of("closed", step["users"], step["seconds"], step["times_ms"], step["faults"]))
        if locust.wait() != 0:
            raise SetupError(f"Locust ended with {locust.returncode}: {_last_line(errors)}")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    lines = file.read().split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it did not say why")


@dataclass(frozen=True)
class _OneBody:
    encoded: Sequence[bytes]


def _ask(question: Question, host: str) -> Ask:
    async def ask(session: aiohttp.ClientSession, body: bytes) -> Reply:
        async with session.post(f"{host}{question.path}", data=body, headers=question.headers) as reply:
            fault = question.fault(reply.status, await reply.read(), reply.headers.get(HEADER_LENGTH))
            return Reply(_WRONG_ANSWER if fault else 200, [], fault)

    return ask


def open_step(question: Question, host: str, rate: float, seconds: float) -> Step:
    """Send at this rate whatever becomes of the answers; each one's time counts from when its request was due."""
    load = steady_load(_ask(question, host), _OneBody([question.body]), rate=rate, seconds=seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the less the sender takes, the more is left
        entries = runner.run(load).entries
    times_ms = [entry.took_s * 1e3 for entry in entries if entry.status == 200]
    faults = [entry.detail for entry in entries if entry.status != 200]
    late_ms = quantile([entry.late_s * 1e3 for entry in entries], 0.99)
    took_s = max(seconds, *(entry.due_s + entry.took_s for entry in entries))
    return Step.of("open", rate, took_s, times_ms, faults, late_ms)
