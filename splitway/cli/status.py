"""What a gateway says of itself at `/v1/pipeline`. An older one says less: what it leaves out is None or empty."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from splitway.cli.credentials import Refusal, refusal
from splitway.errors import first_line, printable
from splitway.telemetry.outcome import CALLERS, CANCELLED, OK

PATH = "/v1/pipeline"
TIMEOUT_S = 2.0
_NO_FAULT_OF_OURS = {OK, CANCELLED} | CALLERS


def failures(outcomes: Mapping[str, int]) -> int:
    """How many ended in a failure of ours: neither answered, nor given up, nor refused for the caller's mistake."""
    return sum(count for outcome, count in outcomes.items() if outcome not in _NO_FAULT_OF_OURS)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Recent(_Part):
    """What ended within the last seconds."""

    window_s: float | None = None
    ended: int | None = None
    failed: int | None = None
    rate_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class Replica(_Part):
    """One process of a stage as the gateway sees it."""

    url: str
    state: str = "unknown"
    reason: str | None = None
    version: str | None = None
    feature_space: str | None = None
    breaker: str | None = None
    breaker_retry_in_s: float | None = None
    in_flight: int | None = None
    attempts: dict[str, int] = {}
    latency_ms: float | None = None


class Stage(_Part):
    """One link of the chain."""

    name: str
    ready: bool = False
    retry_budget: float | None = None
    recent: Recent = Recent()
    replicas: tuple[Replica, ...] = ()

    @property
    def attempts(self) -> Counter[str]:
        """Calls to all its replicas, by how they ended."""
        return sum((Counter(replica.attempts) for replica in self.replicas), Counter())

    @property
    def ready_replicas(self) -> int:
        return sum(replica.state == "ready" for replica in self.replicas)


class Gateway(_Part):
    """The gateway's own counts since it started."""

    version: str | None = None
    uptime_s: float | None = None
    requests: dict[str, int] = {}
    recent: Recent = Recent()


class Door(_Part):
    """Running, waiting and rejected requests."""

    limit: float | None = None
    in_flight: int | None = None
    queued: int | None = None
    turned_away: dict[str, int] = {}


class PipelineStatus(_Part):
    """All of it."""

    ready: bool
    reason: str | None = None
    gateway: Gateway | None = None
    admission: Door = Door()
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Look:
    """One answer of the gateway, or why there is none.

    Args:
        url: the gateway's address.
        at: when, for people.
        at_s: when, by a clock that only goes forward.
        answer: what was said, word for word.
        status: the same, read.
        trouble: a sentence instead of the two.
        refused: the same, where it is about who asks.
    """

    url: str
    at: datetime
    at_s: float
    answer: Mapping[str, Any]
    status: PipelineStatus | None = None
    trouble: str | None = None
    refused: Refusal | None = None

    @property
    def is_ready(self) -> bool:
        return self.status is not None and self.status.ready

    def to_json(self) -> str:
        """One line: the gateway's own words, with when and where they were heard."""
        heard = {"at": self.at.astimezone().isoformat(timespec="milliseconds"), "url": self.url}
        said = self.answer if self.trouble is None else {"ready": False, "reason": self.trouble}
        return json.dumps({**heard, **said}, ensure_ascii=False)


def read_reply(url: str, reply: httpx.Response, at: datetime, at_s: float) -> Look:
    """Make a look of an answer, whatever it holds."""
    if (refused := refusal(reply, url, "metrics")) is not None:
        return Look(url, at, at_s, {}, trouble=f"{refused}", refused=refused)
    try:
        answer = _readable(reply.raise_for_status().json())
        return Look(url, at, at_s, answer, PipelineStatus.model_validate(answer))
    except httpx.HTTPStatusError:
        trouble = f"{url} answers {reply.status_code} to {PATH}: {_detail(reply) or 'is it a Splitway gateway?'}"
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "all of it"
        trouble = f"{url} answers {PATH} in a form that is not a gateway's ({where}): is it another version?"
    except (ValueError, RecursionError):
        trouble = f"{url} answers {PATH} with something that is not JSON: is it a Splitway gateway?"
    return Look(url, at, at_s, {}, trouble=trouble)


def _readable(said: Any) -> Any:
    """The same, without anything that would move the terminal's cursor."""
    if isinstance(said, str):
        return printable(said)
    if isinstance(said, list):
        return [_readable(each) for each in said]
    return {_readable(key): _readable(value) for key, value in said.items()} if isinstance(said, dict) else said


def _detail(reply: httpx.Response) -> str | None:
    """What a gateway says of a refusal, such as of a caller over its rate."""
    try:
        return printable(str(reply.json()["detail"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def no_answer(url: str, error: httpx.HTTPError | httpx.InvalidURL, at: datetime, at_s: float) -> Look:
    """Make a look of a call that failed."""
    if isinstance(error, httpx.ConnectError):
        trouble = f"no gateway answers at {url}; start one with: splitway up"
    elif isinstance(error, httpx.TimeoutException):
        trouble = f"the gateway at {url} has not answered within {TIMEOUT_S:g} s; its log says more"
    else:
        trouble = f"the gateway at {url} gives no answer: {printable(first_line(error))}"
    return Look(url, at, at_s, {}, trouble=trouble)
